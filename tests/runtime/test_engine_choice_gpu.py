"""Which engine `auto` takes on a machine with an NVIDIA GPU, and that none runs there untried."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fake_cuda import FakeCuda
from tests.fake_onnxruntime import FakeOnnxRuntime, Session
from tests.models import tiny_model
from unetctl.cli.models import Wish, open_model
from unetctl.runtime.engines import ENGINES, EngineStatus, choose_engine, engine_status
from unetctl.runtime.errors import CheckFailedError, RefusedError
from unetctl.runtime.model import read_model
from unetctl.runtime.precision import Precision


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, model: Path) -> FakeOnnxRuntime:
    """A GPU, an ONNX Runtime for it, and no TensorRT, beside a model that was exported before they came."""
    cuda = FakeCuda(total_bytes=64 << 30)
    cuda.install(monkeypatch)
    found = FakeOnnxRuntime(cuda)
    found.install(monkeypatch)
    missing = EngineStatus(name="tensorrt", version="", usable=False, why_not="it is not installed")
    monkeypatch.setattr(importlib.import_module(ENGINES["tensorrt"].module), "status", lambda: missing)
    return found


def test_on_a_gpu_auto_takes_tensorrt_then_onnxruntime_there_then_the_processor(
    gpu: FakeOnnxRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(ENGINES) == ["tensorrt", "onnxruntime-cuda", "openvino", "onnxruntime"]
    assert choose_engine("auto").description.startswith("onnxruntime-cuda 1.")
    assert "NVIDIA Fake 1" in choose_engine("auto").description
    assert "CPU" in choose_engine("onnxruntime").description, "its name means the processor"
    present = EngineStatus(name="tensorrt", version="11.4", usable=True, device="NVIDIA Fake 1")
    monkeypatch.setattr(importlib.import_module(ENGINES["tensorrt"].module), "status", lambda: present)
    assert choose_engine("auto").name == "tensorrt"
    FakeCuda(devices=0).install(monkeypatch)
    assert not next(one for one in engine_status() if one.name == "onnxruntime-cuda").usable
    monkeypatch.setattr(
        importlib.import_module(ENGINES["tensorrt"].module), "status", lambda: replace(present, usable=False)
    )
    assert "CPU" in choose_engine("auto").description


def test_on_a_gpu_the_golden_tiles_go_first(gpu: FakeOnnxRuntime, model: Path) -> None:
    runnable = open_model(model, Wish())
    assert runnable.choice.name == "onnxruntime-cuda"
    assert runnable.choice.is_tried_first
    assert len(gpu.sessions) == 1, "it was opened for them"
    assert not open_model(model, Wish(engine="onnxruntime")).choice.is_tried_first
    assert len(gpu.sessions) == 1


def test_a_gpu_that_gives_other_labels_does_not_run(
    gpu: FakeOnnxRuntime, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.run_with_iobinding

    def wrong(self: Session, binding: object, options: object) -> None:
        real(self, binding, options)  # type: ignore[arg-type]
        labels = self._array(binding.outputs["labels"])  # type: ignore[attr-defined]
        labels[:] = 1 - labels

    monkeypatch.setattr(Session, "run_with_iobinding", wrong)
    with pytest.raises(CheckFailedError, match="does not give PyTorch's labels"):
        open_model(model, Wish())


def test_what_was_accepted_on_the_processor_in_int8_is_not_for_the_gpu(gpu: FakeOnnxRuntime, model: Path) -> None:
    read = read_model(model)
    as_int8 = replace(read, record=replace(read.record, precision=Precision.INT8))
    with pytest.raises(RefusedError, match="not compared with PyTorch"):
        choose_engine("onnxruntime-cuda", as_int8)
