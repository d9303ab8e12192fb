"""From a model to an engine that may be used: tried before it is published, or not published at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models import tiny_model
from tests.runtime.engines_made import DEPTH, model_at
from tests.runtime.fake_builder import GPU, FakeBuilder
from tests.runtime.tensorrt_names import common_names
from unetctl.runtime.engine_build import EngineTarget, build_engine, planned_record
from unetctl.runtime.engine_file import EngineFile, engine_name, read_engine_file, record_path
from unetctl.runtime.engine_trust import engine_cache, trusted_plan, was_built_here
from unetctl.runtime.errors import CheckFailedError, DataError, RefusedError, UsageError
from unetctl.runtime.model import read_model
from unetctl.runtime.tensorrt_library import TensorRtLibrary

KEPT = (16, 32)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def fake_target(*, kept_yx: tuple[int, int] = KEPT, **changes: Any) -> tuple[FakeBuilder, EngineTarget]:
    """A fake TensorRT that gives what a tile of `KEPT` gives, and the target that names it."""
    options: dict[str, Any] = {"accepts": (True,) * 9, "labels": (1, KEPT[0] + 4, KEPT[1] + 4), **changes}
    fake = FakeBuilder(common_names(), **options)
    return fake, EngineTarget(library=fake.library, device=GPU, kept_yx=kept_yx)


def test_an_engine_is_tried_and_then_published_with_what_was_found(folder: Path) -> None:
    model = model_at(folder / "cells.onnx")
    _, made_for = fake_target()
    tried: list[EngineFile] = []

    def accept(engine: EngineFile) -> Mapping[str, Any]:
        assert not list(folder.glob("*.engine")), "it must not be published before it was tried"
        assert trusted_plan(read_engine_file(engine.path), trust_foreign=False) == b"a plan"
        tried.append(engine)
        return {"passed": True, "flips": 2}

    found = build_engine(model, made_for, folder, accept=accept)
    assert read_engine_file(found.path).record == found.record
    assert found.record.acceptance == {"passed": True, "flips": 2}
    assert (found.record.gpu, found.record.compute_capabilities) == ("NVIDIA Test 1", (89,))
    assert found.path.name == engine_name("cells", planned_record(model, made_for))
    assert tried[0].path.name == found.path.name
    assert {one.name for one in folder.iterdir()} == {"cells.onnx", found.path.name, record_path(found.path).name}


def test_an_engine_that_is_not_accepted_is_not_published(folder: Path) -> None:
    def refuse(_: EngineFile) -> Mapping[str, Any]:
        raise CheckFailedError("other labels")

    with pytest.raises(CheckFailedError):
        build_engine(model_at(folder / "cells.onnx"), fake_target()[1], folder, accept=refuse)
    assert [one.name for one in folder.iterdir()] == ["cells.onnx"]


def test_what_was_measured_serves_the_next_build(folder: Path) -> None:
    model = model_at(folder / "cells.onnx")
    fake, made_for = fake_target()
    for _ in range(2):
        build_engine(model, made_for, folder, accept=None)
    assert fake.arguments("IBuilderConfig.create_timing_cache") == [(b"",), (b"measured",)]
    assert [one.name for one in engine_cache().glob("*.cache")] == ["timing-tensorrt-10.3.0-NVIDIA_Test_1.cache"]


def test_a_model_that_changes_meanwhile_is_noticed(folder: Path) -> None:
    model = replace(model_at(folder / "cells.onnx"), sha256="0" * 64)
    with pytest.raises(DataError, match="changed while"):
        build_engine(model, fake_target()[1], folder, accept=None)
    assert not list(folder.glob("*.engine"))


def test_a_network_of_another_depth_than_it_says_is_noticed(folder: Path) -> None:
    with pytest.raises(DataError, match=f"depth {DEPTH} gives"):
        build_engine(model_at(folder / "cells.onnx"), fake_target(labels=(1, 20, 20))[1], folder, accept=None)


@pytest.mark.parametrize(
    ("kept_yx", "said"),
    [
        ((18, 32), "multiples of 4"),
        ((0, 32), "multiples of 4"),
        ((-4, 32), "multiples of 4"),
        ((4, 32), "--tile 512"),
    ],
)
def test_a_tile_that_cannot_be_is_refused_before_anything_is_built(
    folder: Path, kept_yx: tuple[int, int], said: str
) -> None:
    fake, made_for = fake_target(kept_yx=kept_yx)
    with pytest.raises(UsageError) as caught:
        build_engine(model_at(folder / "cells.onnx"), made_for, folder, accept=None)
    assert said in str(caught.value)
    assert not fake.calls


def test_a_folder_that_others_can_use_stops_it_before_the_build(folder: Path) -> None:
    engine_cache().chmod(0o755)
    fake, made_for = fake_target()
    with pytest.raises(RefusedError):
        build_engine(model_at(folder / "cells.onnx"), made_for, folder, accept=None)
    assert not fake.calls
    (folder.parent / "home" / "unetctl" / "engines").chmod(0o700)


def test_tensorrt_for_rtx_builds_a_file_that_is_the_same_each_time(folder: Path, rtx: TensorRtLibrary) -> None:
    model = read_model(tiny_model(folder))
    made_for = EngineTarget(library=rtx, device=None, kept_yx=(32, 32))
    first = build_engine(model, made_for, folder, accept=None)
    plan = first.path.read_bytes()
    again = build_engine(model, made_for, folder, accept=None)
    assert (again.path, again.record.plan_sha256) == (first.path, first.record.plan_sha256)
    assert again.path.read_bytes() == plan
    assert was_built_here(first.record.plan_sha256)
    read = read_engine_file(first.path)
    assert (read.record.gpu, read.record.acceptance) == ("", {}), "there was no GPU to try it on"
    assert read.model.spec == model.spec
    assert [one.image.tobytes() for one in read.golden] == [one.image.tobytes() for one in model.golden]
