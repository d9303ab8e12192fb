"""A run before and while it goes: what it may use, what was planned for it, and the engine at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

from unetctl.runtime.engines import EngineChoice, EngineRequest
from unetctl.runtime.errors import ResourceError
from unetctl.runtime.fit import fitted
from unetctl.runtime.image import ImageInfo, ImageSource
from unetctl.runtime.memory import MAX_TILE_AREA_BLANK_PX, MemoryPlan, default_budget_bytes, plan_within
from unetctl.runtime.model import Model
from unetctl.runtime.pipeline import StageTimes
from unetctl.runtime.plan import MAX_TILE_AREA_PX, TilePlan
from unetctl.runtime.profile import Profile
from unetctl.runtime.reads import read_grid
from unetctl.runtime.report import OnProgress, SegmentProgress
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics, plane_statistics
from unetctl.runtime.stream import IsDone, LabelSink, OnBlank, TileWatcher, stream_labels
from unetctl.runtime.system import current_memory_bytes, processors
from unetctl.runtime.tile_choice import AS_PLANNED, TileChoice, filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a run may use: memory in bytes, threads of the engine, and threads that read and that write."""

    max_memory_bytes: int
    threads: int
    readers: int = 1
    writers: int = 1
    tiles: TileChoice = AS_PLANNED

    @classmethod
    def of_this_machine(cls, max_memory_bytes: int | None = None, threads: int | None = None) -> Self:
        """Fill in what is not given: half of the free memory, at most 4 GiB, and all processors."""
        return cls(
            max_memory_bytes=max_memory_bytes or default_budget_bytes(),
            threads=threads or processors(),
            readers=2 if processors() > 4 else 1,
            writers=2 if processors() > 4 else 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An image, a model and an engine that fit each other, and the plan that fits the memory."""

    source: ImageSource
    model: Model
    engine: EngineChoice
    resources: Resources
    memory: MemoryPlan
    blank: int | None = None
    """The class of tiles with nothing in them, which are then not computed; it is part of what a run is."""
    is_tuning_left_out: bool = False
    """Tiles go through as without tuning, because as tuned not even the smallest fits."""

    @property
    def precision(self) -> str:
        """What the network is computed in: tiles of two precisions must never be in one result."""
        return self.engine.precision(self.model)

    @property
    def total_px(self) -> int:
        """Pixels of all planes."""
        info = self.source.info
        return info.planes * info.height * info.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds of one run, by what was done."""

    statistics: float
    stages: StageTimes


NOTHING_TO_LABEL = Timings(statistics=0.0, stages=StageTimes())
"""Of a run that was stopped when all its tiles were done: no engine is opened for it."""


def prepare(
    source: ImageSource,
    model: Model,
    engine: EngineChoice,
    resources: Resources,
    *,
    blank: int | None = None,
    tiles: TilePlan | None = None,
) -> Run:
    """Check that the image fits the model and plan the run, in `tiles` if it is one that is continued.

    Where not even the smallest tile fits as it was tuned, tiles go through as if nothing was, and the run says so; not
    in a run that is continued, where tiles of two batch sizes would be in one result. An image of few tiles gets no
    larger batches and no more streams than they fill. Raises `DataError` and `ResourceError`.
    """
    source, is_tuning_left_out = fitted(source, model.spec), False
    try:
        memory = plan_run(source.info, model, engine, resources, blank=blank, tiles=tiles)
    except ResourceError:
        if tiles is not None or resources.tiles == AS_PLANNED:
            raise
        resources, is_tuning_left_out = replace(resources, tiles=AS_PLANNED), True
        memory = plan_run(source.info, model, engine, resources, blank=blank)
    if tiles is None:
        resources = replace(resources, tiles=filled(resources.tiles, memory.tiles, source.info.planes))
    source.limit_cache(memory.cache_bytes)
    return Run(
        source=source,
        model=model,
        engine=engine,
        resources=resources,
        memory=memory,
        blank=blank,
        is_tuning_left_out=is_tuning_left_out,
    )


def plan_run(
    info: ImageInfo,
    model: Model,
    engine: EngineChoice,
    resources: Resources,
    *,
    blank: int | None = None,
    tiles: TilePlan | None = None,
) -> MemoryPlan:
    """Plan the tiles of an image that fits the model, or take `tiles`. Raises `ResourceError`."""
    return plan_within(
        resources.max_memory_bytes,
        info=info,
        spec=model.spec,
        engine_bytes=lambda shapes: engine.bytes_needed(_request(model, shapes, resources)),
        baseline_bytes=baseline_bytes(),
        readers=resources.readers,
        fixed_shapes=engine.fixed_shapes(model),
        max_area_px=MAX_TILE_AREA_PX if blank is None else MAX_TILE_AREA_BLANK_PX,
        tile_yx=resources.tiles.tile_yx,
        only=tiles,
    )


def _request(model: Model, shapes: tuple[tuple[int, int], ...], resources: Resources) -> EngineRequest:
    return EngineRequest(
        model=model,
        shapes=shapes,
        batch=resources.tiles.batch,
        slots=resources.tiles.slots,
        streams=resources.tiles.streams,
        threads=resources.threads,
    )


def label(
    run: Run,
    sink: LabelSink,
    *,
    watchers: Sequence[TileWatcher] = (),
    on_blank: OnBlank = lambda *_: None,
    on_progress: OnProgress = lambda _: None,
    profile: Profile | None = None,
    statistics: Sequence[Statistics] | None = None,
    on_statistics: Callable[[Sequence[Statistics]], None] = lambda _: None,
    is_done: IsDone | None = None,
    done_px: int = 0,
) -> Timings:
    """Open the engine, measure what the normalisation needs, and stream every tile into `sink`.

    `statistics` are those that were measured before; `on_statistics` is handed them when they are measured now.
    `is_done` and `done_px` say what need not be computed.
    """
    phase = profile.phase if profile is not None else nullcontext
    spec = run.model.spec
    request = _request(run.model, run.memory.tiles.read_shapes(), run.resources)
    with ExitStack() as held:
        with phase("open the engine"):
            engine = held.enter_context(run.engine.open(request))
        opened = time.perf_counter()
        with phase("statistics"):
            if spec.normalisation.scope is not Scope.IMAGE:
                statistics = None
            elif statistics is None:
                statistics = _measure(run, on_progress)
                on_statistics(statistics)
        measured = time.perf_counter()
        with phase("tiles"):
            run.source.limit_cache(run.memory.cache_bytes, read_grid(run.memory.tiles))
            stages = stream_labels(
                run.source,
                run.memory.tiles,
                engine,
                sink,
                classes=len(spec.classes),
                batch=run.resources.tiles.batch,
                statistics=statistics,
                watchers=watchers,
                blank=run.blank,
                on_blank=on_blank,
                on_pixels=_counter("tiles", run.total_px, on_progress, done_px),
                is_done=is_done,
                readers=run.resources.readers,
                writers=run.resources.writers,
                observer=profile,
            )
    return Timings(statistics=measured - opened, stages=stages)


def _measure(run: Run, on_progress: OnProgress) -> list[Statistics]:
    info = run.source.info
    count = _counter("statistics", run.total_px, on_progress)
    found = []
    for plane in range(info.planes):
        found.append(plane_statistics(run.source, plane))
        count(info.height * info.width)
    return found


def _counter(phase: str, total_px: int, on_progress: OnProgress, done_px: int = 0) -> Callable[[int], None]:
    """Return a function that adds up finished pixels, beginning with `done_px`, and reports them."""
    begun, begun_px = time.perf_counter(), done_px
    lock = threading.Lock()

    def count(pixels: int) -> None:
        nonlocal done_px
        with lock:
            done_px += pixels
            seconds = time.perf_counter() - begun
            on_progress(
                SegmentProgress(phase=phase, done_px=done_px, total_px=total_px, seconds=seconds, begun_px=begun_px)
            )

    return count


@cache
def baseline_bytes() -> int:
    """Return what the process holds before the first engine is opened, and what Python will need on the way.

    Measured once: what the allocator keeps of one run is used again by the next, and must not be counted for both.
    """
    return max(current_memory_bytes(), 64 << 20) + (32 << 20)
