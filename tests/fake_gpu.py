"""A machine with a fake GPU and a fake TensorRT, and a folder for engines that is a test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engine_contract import EngineCase, read_case
from tests.fake_cuda import FakeCuda
from tests.fake_tensorrt_runtime import FakeTensorRt
from tests.models import tiny_model
from unetctl.runtime import cuda
from unetctl.runtime.engine_build import EngineTarget, build_engine
from unetctl.runtime.engine_file import EngineFile
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.geometry import input_px, margin_px, shrinkage_px
from unetctl.runtime.model import Model
from unetctl.runtime.tensorrt_library import library_for_gpu


class FakeGpu:
    """It is there from `install` on: what a test exports before that is not compared on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, **facts: Any) -> None:
        self._monkeypatch = monkeypatch
        self.cuda = FakeCuda(**facts)
        self.tensorrt = FakeTensorRt(self.cuda)
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.setenv(name, str(folder / "cache"))

    def install(self) -> None:
        self.cuda.install(self._monkeypatch)
        self.tensorrt.install(self._monkeypatch)

    @property
    def ran(self) -> int:
        """How many networks ran."""
        return self.cuda.streams.ran.count("network")

    def replayed(self) -> int:
        """How many graphs were started."""
        return self.cuda.calls["cudaGraphLaunch"]


def build_here(model: Model, shape: tuple[int, int]) -> EngineFile:
    """Build an engine for tiles that read just this shape, beside its model; it is not tried."""
    margin = 2 * margin_px(model.spec.depth)
    device = cuda.device()
    target = EngineTarget(
        library=library_for_gpu(device.compute_capability),
        device=device,
        kept_yx=(shape[0] - margin, shape[1] - margin),
    )
    return build_engine(with_small_golden(model), target, model.path.parent, accept=None)


def integer_case(folder: Path) -> EngineCase:
    """A model of integer weights, whose labels a fake can give bit for bit, with golden tiles that are quickly run."""
    found = read_case(tiny_model(folder, depth=2, classes=3, integer=True))
    return replace(found, model=with_small_golden(found.model))


def with_small_golden(model: Model) -> Model:
    """Return the model with the top left of its golden tiles, so that engines for smaller tiles can be built."""
    side, lost = input_px(1 << model.spec.depth, model.spec.depth), shrinkage_px(model.spec.depth)
    cut = [
        replace(one, image=one.image[:, :side, :side], logits=one.logits[:, : side - lost, : side - lost])
        for one in model.golden
    ]
    return replace(model, golden=tuple(cut))


def as_it_lies(model: Model) -> Model:
    """Return a model whose file a test changed, with the hash that reading it would give."""
    return replace(model, sha256=hashlib.sha256(model.path.read_bytes()).hexdigest())


def request_for(model: Model, shapes: Sequence[tuple[int, int]], *, batch: int = 1, slots: int = 2) -> EngineRequest:
    """Ask for an engine of a model."""
    return EngineRequest(model=model, shapes=tuple(shapes), batch=batch, slots=slots, threads=1)
