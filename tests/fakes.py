"""Fakes in place of slow or absent parts: an engine without a network, and models that exist in memory only."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.engine import Result
from unetctl.runtime.engines import EngineChoice, EngineRequest
from unetctl.runtime.geometry import shrinkage_px
from unetctl.runtime.model import Model
from unetctl.runtime.spec import ClassInfo, ExportRecord, ModelSpec, Normalisation, PixelType, Scope
from unetctl.runtime.statistics import Statistics


def fake_spec(
    *, depth: int = 4, base_channels: int = 64, channels: int = 1, classes: int = 2, scope: Scope = Scope.MODEL
) -> ModelSpec:
    """Return a spec of a network that nobody trained."""
    constants = scope is Scope.MODEL
    return ModelSpec(
        name="fake",
        depth=depth,
        base_channels=base_channels,
        channels=tuple(f"channel {index}" for index in range(channels)),
        pixel_type=PixelType.UINT8,
        normalisation=Normalisation(
            scope=scope, shift=(0.0,) * channels * constants, scale=(1.0,) * channels * constants
        ),
        classes=tuple(ClassInfo(name=f"class {index}", colour="#204080") for index in range(classes)),
        weights_sha256="0" * 64,
        created="2026-01-01T00:00:00+00:00",
    )


def fake_model(**kwargs: Any) -> Model:
    """Return a model that only `FakeEngine` can run."""
    record = ExportRecord(created="2026-01-01", precision="fp32", outputs=("labels",), comparison={}, versions={})
    return Model(path=Path("fake.onnx"), spec=fake_spec(**kwargs), record=record, golden=(), sha256="0" * 64)


class FakeEngine:
    """An engine whose label is the pixel under it, modulo the classes: right if every pixel lands where it belongs."""

    def __init__(self, request: EngineRequest) -> None:
        self.slots = request.slots
        self._request = request
        self._buffers: dict[int, NDArray[Any]] = {}
        self._owners: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._buffers.clear()

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        assert shape in self._request.shapes, f"{shape} was not announced"
        full = (self._request.batch, len(self._request.model.spec.channels), *shape)
        if slot not in self._buffers or self._buffers[slot].shape != full:
            self._buffers[slot] = np.zeros(full, self._request.model.spec.pixel_type.value)
        return self._buffers[slot]

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        self._owners.add(threading.get_ident())
        assert len(self._owners) == 1, "an engine belongs to one thread"

    def result(self, slot: int) -> Result:
        margin = shrinkage_px(self._request.model.spec.depth) // 2
        pixels = self._buffers[slot][:, 0, margin:-margin, margin:-margin]
        labels = (pixels % len(self._request.model.spec.classes)).astype(np.uint8)
        return Result(labels=labels, probabilities=None)


def fake_choice(*, bytes_a_pixel: int = 16) -> EngineChoice:
    """Return `FakeEngine` as an engine that a run can be given."""
    return EngineChoice(
        name="fake",
        description="fake 1.0 on nothing",
        reason="the test asked for it",
        open=FakeEngine,
        bytes_needed=lambda one: bytes_a_pixel * one.shapes[0][0] * one.shapes[0][1] * one.batch * one.slots,
    )


def engine_request(model: Model, *shapes: tuple[int, int], slots: int = 1) -> EngineRequest:
    """Return what an engine on one thread is asked for, with one tile in a batch."""
    return EngineRequest(model=model, shapes=shapes, batch=1, slots=slots, threads=1)
