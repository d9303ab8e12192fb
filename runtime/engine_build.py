"""From an ONNX model to an engine file that may be used: plan, record, and what the golden tiles said.

    model.onnx -> plan -> hash noted as built by this user -> tried on the golden tiles -> plan, record published

It runs wherever engines run: `unetctl export --trt` calls it, and so does an engine class that finds no plan for its
GPU and library, with the user's own folder (`engine_cache`) to build into.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unetctl.runtime.engine_file import EngineFile, engine_name, write_engine_file
from unetctl.runtime.engine_lock import TRIAL
from unetctl.runtime.engine_match import this_machine
from unetctl.runtime.engine_record import EngineRecord
from unetctl.runtime.engine_trust import engine_cache, remember_built
from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.geometry import alignment_px, input_px, margin_px, shrinkage_px
from unetctl.runtime.model import Model
from unetctl.runtime.plan import CHUNK_PX
from unetctl.runtime.system import write_atomically
from unetctl.runtime.tensorrt_build import BuiltPlan, build_plan
from unetctl.runtime.tensorrt_callbacks import OnProgress
from unetctl.runtime.tensorrt_library import TensorRtLibrary

if TYPE_CHECKING:
    from unetctl.runtime.cuda import DeviceFacts

Accept = Callable[[EngineFile], Mapping[str, Any]]
"""Tries an engine and returns the figures for its record, or raises `CheckFailedError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTarget:
    """What an engine is to be built for."""

    library: TensorRtLibrary
    device: DeviceFacts | None
    """The current device of this thread; None only with TensorRT for RTX."""
    kept_yx: tuple[int, int]
    """Pixels that a tile keeps."""
    compute_capabilities: tuple[int, ...] = ()
    """As 89 for 8.9, only with TensorRT for RTX; none leaves the choice to it."""


def build_engine(
    model: Model,
    target: EngineTarget,
    folder: Path,
    *,
    accept: Accept | None,
    on_progress: OnProgress = lambda _share, _phase: None,
) -> EngineFile:
    """Build an engine of `model`, let `accept` try it, and publish it in `folder` under its own name.

    Without `accept`, where no GPU could run it, the record says that it was not tried. Raises what `build_plan` and
    `accept` raise, and `UsageError` for a tile that cannot be; then nothing is published.
    """
    planned = planned_record(model, target)
    timing_path = _timing_path(target)
    built = build_plan(
        model.path,
        library=target.library,
        device=target.device,
        batch=1,
        shape=planned.input_yx,
        timing_cache=timing_path.read_bytes() if timing_path.is_file() else b"",
        compute_capabilities=target.compute_capabilities,
        on_progress=on_progress,
    )
    _refuse_another(model, planned, built)
    if built.timing_cache:
        write_atomically(timing_path, built.timing_cache)
    record = replace(
        planned, plan_sha256=hashlib.sha256(built.plan).hexdigest(), plan_bytes=len(built.plan), created=_now()
    )
    remember_built(record.plan_sha256)
    name = engine_name(model.path.stem, record)
    if accept is not None:
        with TemporaryDirectory(prefix=TRIAL, dir=engine_cache()) as aside:
            acceptance = accept(write_engine_file(Path(aside, name), built.plan, record, model.golden))
        record = replace(record, acceptance=acceptance)
    return write_engine_file(folder / name, built.plan, record, model.golden)


def planned_record(model: Model, target: EngineTarget) -> EngineRecord:
    """Return the record as it is known before the build, without a plan. Raises `UsageError` for an unfit tile."""
    shape = _input_shape(model, target.kept_yx)
    lost = shrinkage_px(model.spec.depth)
    machine = this_machine(target.library, target.device)
    own = (round(10 * float(machine.compute_capability)),) if machine.compute_capability else ()
    return EngineRecord(
        kind=machine.kind,
        library_version=machine.library_version,
        plan_sha256="",
        plan_bytes=0,
        onnx_sha256=model.sha256,
        precision=model.record.precision,
        input_yx=shape,
        output_yx=(shape[0] - lost, shape[1] - lost),
        compute_capabilities=target.compute_capabilities if target.library.is_rtx else own,
        gpu=machine.gpu,
        driver_version=machine.driver_version,
        cuda_version=machine.cuda_version,
        platform=machine.platform,
        created=_now(),
        unetctl_version=version("unetctl"),
        acceptance={},
        spec=model.spec,
        export=model.record,
    )


def _input_shape(model: Model, kept_yx: tuple[int, int]) -> tuple[int, int]:
    """Return the `(H, W)` that tiles read. Raises `UsageError` for what the network or the golden tiles refuse."""
    depth = model.spec.depth
    step = alignment_px(depth)
    text = f"{kept_yx[0]} x {kept_yx[1]} px"
    if any(size <= 0 or size % step for size in kept_yx):
        raise UsageError(
            f"a tile cannot keep {text}", cause=f"this network needs multiples of {step}", hint=f"--tile {CHUNK_PX}"
        )
    height, width = (input_px(size, depth) for size in kept_yx)
    golden = [max((tile.image.shape[axis] for tile in model.golden), default=0) for axis in (1, 2)]
    if height < golden[0] or width < golden[1]:
        raise UsageError(
            f"an engine whose tiles keep {text} cannot be checked",
            cause=f"the golden tiles of {model.path} are larger",
            hint=f"--tile {-(-(max(golden) - 2 * margin_px(depth)) // CHUNK_PX) * CHUNK_PX}",
        )
    return height, width


def _refuse_another(model: Model, planned: EngineRecord, built: BuiltPlan) -> None:
    """Raise `DataError` unless what was built is this model, and gives the pixels that its depth says."""
    if built.onnx_sha256 != model.sha256:
        raise DataError(f"{model.path} changed while its engine was built", hint="type the command again")
    if built.output_yx != planned.output_yx:
        raise DataError(
            f"{model.path} gives {built.output_yx} px for tiles of {planned.input_yx} px",
            cause=f"a network of depth {model.spec.depth} gives {planned.output_yx}",
            hint="export it again",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _timing_path(target: EngineTarget) -> Path:
    """Return where the measurements for a library and a GPU are kept."""
    gpu = target.device.name if target.device else "none"
    name = f"timing-{target.library.name}-{target.library.version}-{gpu}"
    return engine_cache() / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.cache"
