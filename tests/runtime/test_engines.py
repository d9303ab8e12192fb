"""The engines of the runtime: the contract, the choice among them, and what they say when they cannot run."""

from __future__ import annotations

import builtins
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engine_contract import DEPTH, EngineCase, EngineContract, read_case
from tests.fakes import engine_request
from tests.models import tiny_model
from unetctl.runtime import engine_onnxruntime
from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import (
    ENGINES,
    EngineRequest,
    EngineStatus,
    choose_engine,
    engine_bytes,
    engine_status,
    open_engine,
)
from unetctl.runtime.errors import DataError, UnavailableError, UsageError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.plan import CHUNK_PX


class TestOnnxRuntime(EngineContract):
    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        return open_engine("onnxruntime", request)


def status_of(name: str) -> EngineStatus:
    """Return what one engine says of itself."""
    return next(one for one in engine_status() if one.name == name)


def test_auto_takes_the_first_usable_engine_and_says_why() -> None:
    chosen = choose_engine("auto")
    assert chosen.name == next(one.name for one in engine_status() if one.usable)
    assert "CPU" in chosen.description
    assert chosen.reason


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        choose_engine("tensorflow")
    assert "onnxruntime" in caught.value.hint


def test_a_missing_package_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in ("onnxruntime", "openvino"):
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    for one in ("onnxruntime", "openvino"):
        monkeypatch.delitem(sys.modules, one, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert not any(one.usable for one in engine_status())
    with pytest.raises(UnavailableError) as caught:
        choose_engine("auto")
    assert 'pip install "unetctl[cpu]"' in caught.value.hint


def test_variants_installed_over_each_other_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine_onnxruntime,
        "installed_version",
        lambda name: "1.31.1" if name in ("onnxruntime", "onnxruntime-gpu") else "",
    )
    found = status_of("onnxruntime")
    assert "onnxruntime and onnxruntime-gpu" in found.why_not
    assert found.hint.startswith("pip uninstall")


def test_a_file_that_onnxruntime_cannot_load_is_named(tmp_path: Path) -> None:
    case = read_case(tiny_model(tmp_path))
    case.model.path.write_bytes(b"\x08\x0a nothing that follows is a graph")
    request = EngineRequest(model=case.model, shapes=((60, 60),), batch=1, slots=1, threads=1)
    with pytest.raises(DataError, match=r"model\.onnx"), open_engine("onnxruntime", request):
        pass


def test_predicted_bytes_grow_with_tile_batch_and_width(tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path)).model
    averaged = replace(model, record=replace(model.record, averaging=8))
    for name in ENGINES:
        large = engine_request(model, (600, 600))
        growing = [
            engine_bytes(name, one)
            for one in (
                engine_request(model, (60, 60)),
                engine_request(model, (600, 60)),
                large,
                replace(large, batch=2, slots=2),
            )
        ]
        assert growing == sorted(set(growing)), name
        assert engine_bytes(name, large) <= engine_bytes(name, replace(large, model=averaged))


def test_a_file_that_gives_other_outputs_than_its_record_is_refused(tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path)).model
    changed = replace(model, record=replace(model.record, outputs=("labels", "probabilities")))
    request = EngineRequest(model=changed, shapes=((60, 60),), batch=1, slots=1, threads=1)
    with pytest.raises(DataError, match="gives labels"), open_engine("onnxruntime", request):
        pass


class TestOpenVino(EngineContract):
    single = (input_px(CHUNK_PX, DEPTH), input_px(CHUNK_PX, DEPTH))

    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        pytest.importorskip("openvino", reason="NOT RUN: openvino is not installed")
        return open_engine("openvino", request)
