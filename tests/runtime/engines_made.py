"""Engine files without a build: a model in memory, a golden tile, a record, and bytes that stand for a plan."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.fakes import fake_model
from unetctl.runtime.engine_build import EngineTarget, planned_record
from unetctl.runtime.engine_file import EngineFile, engine_name, write_engine_file
from unetctl.runtime.engine_record import EngineRecord
from unetctl.runtime.geometry import input_px, shrinkage_px
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.model import Model
from unetctl.runtime.tensorrt_library import TensorRtLibrary

DEPTH = 2
PLAN = bytes(range(256)) * 8


def golden_tile(kept_px: int = 8) -> GoldenTile:
    """A golden tile of two classes that no network made."""
    side = input_px(kept_px, DEPTH)
    draw = np.random.default_rng(0)
    return GoldenTile(
        image=draw.integers(0, 255, (1, side, side), dtype=np.uint8),
        shift=np.zeros(1, np.float32),
        scale=np.ones(1, np.float32),
        logits=draw.normal(size=(2, side - shrinkage_px(DEPTH), side - shrinkage_px(DEPTH))).astype(np.float32),
    )


def model_at(path: Path, content: bytes = b"model") -> Model:
    """Write a file that stands for an ONNX model, and return what reading it would give."""
    path.write_bytes(content)
    model = fake_model(depth=DEPTH, base_channels=2)
    return replace(model, path=path, golden=(golden_tile(),), sha256=hashlib.sha256(content).hexdigest())


def target(name: str = "tensorrt", *, kept_yx: tuple[int, int] = (16, 32), **changes: Any) -> EngineTarget:
    """What to build for, with a library that has no module."""
    version = "11.4.0.106" if name == "tensorrt" else "1.7.1.116"
    library = TensorRtLibrary(name=name, module=None, version=version)
    return EngineTarget(**{"library": library, "device": None, "kept_yx": kept_yx, **changes})


def record_of(model: Model, made_for: EngineTarget, plan: bytes = PLAN) -> EngineRecord:
    """The record of `plan`, as a build would give it."""
    planned = planned_record(model, made_for)
    return replace(planned, plan_sha256=hashlib.sha256(plan).hexdigest(), plan_bytes=len(plan))


def engine_in(folder: Path, made_for: EngineTarget | None = None) -> EngineFile:
    """Write an engine file with a plan that no library would take."""
    model = model_at(folder / "cells.onnx")
    record = record_of(model, made_for or target())
    return write_engine_file(folder / engine_name("cells", record), PLAN, record, model.golden)
