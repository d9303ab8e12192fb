"""ONNX Runtime on a fake GPU, which computes with the real one on the processor, and on a real GPU: the contract."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from tests.engine_contract import EngineCase, EngineContract, read_case
from tests.fake_cuda import FakeCuda
from tests.fake_onnxruntime import FakeOnnxRuntime
from tests.models import random_pixels, tiny_model
from unetctl.exporter.export import export_model
from unetctl.runtime.check import check_model
from unetctl.runtime.engine import Engine
from unetctl.runtime.engine_onnxruntime_cuda import OnnxRuntimeCudaEngine, status
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.geometry import input_px
from unetctl.runtime.model import read_model
from unetctl.runtime.onnxruntime_session import preload
from unetctl.runtime.precision import Precision


class TestOnAFakeGpu(EngineContract):
    @pytest.fixture(autouse=True)
    def _keep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cuda, self._monkeypatch = FakeCuda(), monkeypatch
        self.library = FakeOnnxRuntime(self.cuda)

    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        self.cuda.install(self._monkeypatch)
        self.library.install(self._monkeypatch)
        return OnnxRuntimeCudaEngine(request)

    def test_shapes_whose_labels_are_not_the_largest_where_their_pixels_are(self, exact: EngineCase) -> None:
        """Long and square: the longer one has more pixels in and fewer labels out."""
        long, square = (input_px(4, 2), input_px(200, 2)), (input_px(56, 2), input_px(60, 2))
        assert long[0] * long[1] > square[0] * square[1]
        with self.open(exact, self.request(exact, shapes=(long, square), slots=1)) as engine:
            for shape in (square, long):
                pixels = random_pixels(exact.model.spec, (1, 2, *shape))
                engine.buffer(0, shape)[:] = pixels
                engine.submit(0, None)
                np.testing.assert_array_equal(engine.result(0).labels, exact.logits(pixels, 128, 1).argmax(axis=1))


class TestOnTheGpuOfThisMachine(EngineContract):
    """The real library on a real GPU, where there is one."""

    @pytest.fixture(autouse=True)
    def _skip(self) -> None:
        if not (found := status()).usable:
            pytest.skip(f"NOT RUN on a GPU: {found.why_not}")

    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        return OnnxRuntimeCudaEngine(request)

    @pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
    def test_the_golden_tiles_of_an_exported_model_pass(self, tmp_path: Path, precision: Precision) -> None:
        made = export_model(tiny_model(tmp_path).with_suffix(".safetensors"), tmp_path / "x.onnx", precision=precision)
        (row,) = check_model(read_model(made.path), {"onnxruntime-cuda": OnnxRuntimeCudaEngine})
        assert row.passed


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda(devices=0).install(monkeypatch)
    found = status()
    assert not found.usable
    assert "no NVIDIA GPU" in found.why_not
    assert "unetctl[gpu]" in found.hint


def test_an_onnxruntime_for_processors_is_not_taken_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda().install(monkeypatch)
    found = status()
    assert not found.usable
    assert "not the one for GPUs" in found.why_not


def test_with_both_it_can_run_and_names_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    FakeOnnxRuntime(cuda).install(monkeypatch)
    assert status().usable
    assert status().device == "NVIDIA Fake 1, compute capability 8.9"


def test_libraries_that_are_missing_leave_auto_its_next_choice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    library = FakeOnnxRuntime(cuda)
    library.install(monkeypatch)
    library.has_libraries = False
    assert not status().usable
    assert "libcudnn.so.9" in status().why_not
    assert not capsys.readouterr().out


def test_libraries_are_loaded_from_packages_that_are_not_beside_onnxruntime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "nvidia/cu13/lib/libcudart.so.13"
    there.parent.mkdir(parents=True)
    there.touch()
    asked = []

    def load(name: str) -> None:
        asked.append(name)
        raise OSError("none is a library")

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ctypes, "CDLL", load)
    preload()
    assert str(there) in asked


def test_an_exported_fp16_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = read_case(tiny_model(tmp_path))
    made = export_model(case.checkpoint.path, tmp_path / "half.onnx", precision=Precision.FP16)
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    library = FakeOnnxRuntime(cuda)
    library.install(monkeypatch)
    (row,) = check_model(read_model(made.path), {"onnxruntime-cuda": OnnxRuntimeCudaEngine})
    assert row.passed
    assert row.precision == "fp16"
    assert {one.options["use_tf32"] for one in library.sessions} == {"1"}, "or no tensor core computes it"
