"""An engine on disk: what was written is read again, and nothing else is taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.engines_made import PLAN, engine_in, model_at, record_of, target
from tests.runtime.fake_builder import GPU
from unetctl.runtime import engine_file
from unetctl.runtime.engine_file import engine_name, read_engine_file, record_path, write_engine_file
from unetctl.runtime.errors import DataError, MissingInputError


def test_an_engine_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = engine_in(tmp_path)
    assert written.path.read_bytes() == PLAN, "the plan must be a plain file that other tools load"
    read = read_engine_file(written.path)
    assert (read.path, read.record) == (written.path, written.record)
    for one, other in zip(read.golden, written.golden, strict=True):
        for name in ("image", "shift", "scale", "logits"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_an_engine_alone_is_a_model(tmp_path: Path) -> None:
    written = engine_in(tmp_path)
    (tmp_path / "cells.onnx").unlink()
    model = read_engine_file(written.path).model
    assert (model.path, model.sha256) == (written.path, written.record.plan_sha256)
    assert (model.spec, model.record) == (written.record.spec, written.record.export)
    assert len(model.golden) == 1


def test_the_record_is_for_people_too(tmp_path: Path) -> None:
    lines = record_path(engine_in(tmp_path).path).read_text().splitlines()
    assert ' "kind": "tensorrt",' in lines
    assert lines[-2].startswith(' "golden": "')


@pytest.mark.parametrize(
    ("made_for", "name"),
    [
        (target("tensorrt", kept_yx=(512, 512), device=GPU), "512-fp32-trt11.4.0.106-sm89-linux-x86_64"),
        (
            target("tensorrt", kept_yx=(512, 1024), device=GPU),
            "512x1024-fp32-trt11.4.0.106-sm89-linux-x86_64",
        ),
        (target("tensorrt-rtx", kept_yx=(512, 512)), "512-fp32-rtx1.7.1.116-sm80plus-linux-x86_64"),
        (
            target("tensorrt-rtx", kept_yx=(512, 512), compute_capabilities=(86, 120)),
            "512-fp32-rtx1.7.1.116-sm86+sm120-linux-x86_64",
        ),
    ],
)
def test_the_name_says_all_that_makes_an_engine_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_for: Any, name: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    model = model_at(tmp_path / "cells.onnx")
    record = record_of(model, made_for)
    assert engine_name("cells", record) == f"cells-{model.sha256[:8]}-{name}.engine"


@pytest.mark.parametrize(("stem", "start"), [("my cells/1", "my_cells_1-"), ("../x", "x-"), ("細胞", "model-")])
def test_a_name_is_a_file_name_on_every_system(tmp_path: Path, stem: str, start: str) -> None:
    name = engine_name(stem, engine_in(tmp_path).record)
    assert name.startswith(start)
    assert name.isascii()
    assert Path(name).name == name


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no engine"):
        read_engine_file(tmp_path / "gone.engine")


def test_a_plan_without_a_record_is_refused(tmp_path: Path) -> None:
    written = engine_in(tmp_path)
    record_path(written.path).unlink()
    with pytest.raises(DataError, match="lacks its record"):
        read_engine_file(written.path)


@pytest.mark.parametrize("damage", [lambda plan: plan[:-1], lambda plan: b"\1" + plan[1:], lambda plan: plan + b"\0"])
def test_a_plan_with_one_other_bit_or_length_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    written = engine_in(tmp_path)
    written.path.write_bytes(damage(PLAN))
    with pytest.raises(DataError, match="damaged"):
        read_engine_file(written.path)


def test_a_build_that_is_killed_between_its_two_files_leaves_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = engine_in(tmp_path)
    other = PLAN[::-1]
    record = record_of(model_at(tmp_path / "cells.onnx"), target(), other)

    def killed(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        path.write_bytes(data)

    monkeypatch.setattr(engine_file, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write_engine_file(written.path, other, record, written.golden)
    with pytest.raises(DataError, match="lacks its record"):
        read_engine_file(written.path)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.pop(name)


def having(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.update(changes)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("gpu"), "missing or unknown: gpu"),
        (without("golden"), "missing or unknown: golden"),
        (without("plan_sha256"), "no record"),
        (having(extra=1), "missing or unknown: extra"),
        (having(format_version=2), "format_version 2"),
        (having(kind="tensorflow"), "kind 'tensorflow'"),
        (having(gpu=5), "gpu: no text"),
        (having(plan_sha256="../../x"), "hexadecimal"),
        (having(plan_bytes=0), "0 bytes"),
        (having(plan_bytes="1"), "'1' bytes"),
        (having(acceptance=[]), "acceptance"),
        (having(input_yx=[60]), "px in"),
        (having(output_yx=[16, 32]), "px in"),
        (having(input_yx=[61, 76], output_yx=[21, 36]), "cannot take"),
        (having(input_yx="ab"), "malformed"),
        (having(compute_capabilities=None), "malformed"),
        (having(spec=[]), "spec"),
        (having(spec={}), "format_version None"),
        (having(export={"format_version": 1}), "lacks"),
        (having(golden="AAAA"), "golden tiles are damaged"),
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path: Path, edit: Callable[[dict[str, Any]], None], said: str) -> None:
    written = engine_in(tmp_path)
    beside = record_path(written.path)
    values = json.loads(beside.read_text())
    edit(values)
    beside.write_text(json.dumps(values))
    with pytest.raises(DataError, match=said):
        read_engine_file(written.path)


@pytest.mark.parametrize(
    ("content", "said"), [(b"<html>", "not JSON"), (b"[]", "no record"), (b"\xff\xfe", "no record")]
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    written = engine_in(tmp_path)
    record_path(written.path).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_engine_file(written.path)


def test_a_record_keeps_what_a_gpu_said(tmp_path: Path) -> None:
    model = model_at(tmp_path / "cells.onnx")
    record = replace(record_of(model, target(device=GPU)), acceptance={"passed": True})
    read = read_engine_file(write_engine_file(tmp_path / "a.engine", PLAN, record, model.golden).path).record
    assert (read.gpu, read.compute_capabilities, read.driver_version) == ("NVIDIA Test 1", (89,), "13.0")
    assert (read.acceptance, read.kept_yx, read.onnx_sha256) == ({"passed": True}, (16, 32), model.sha256)
