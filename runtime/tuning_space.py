"""What may be tried on this machine: the rivals of a setting along each axis, as far as they fit into the memory.

engine     every engine that can run the model here, in every precision that its export accepted
streams    batches side by side, where the engine can: as many threads for each as are left
threads    half and twice as many
tile       as planned, half and twice as high, wide, or both; for an engine of fixed sizes those that it has
batch      half and twice as many tiles together, while they keep no more than the largest tile
slots      two more and one less in flight
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from unetctl.runtime.engines import ENGINES, EngineChoice
from unetctl.runtime.errors import ResourceError
from unetctl.runtime.geometry import margin_px
from unetctl.runtime.image import ImageInfo, default_channel_names
from unetctl.runtime.memory import MemoryPlan
from unetctl.runtime.model import Model
from unetctl.runtime.plan import CHUNK_PX, MAX_TILE_AREA_PX, TilePlan
from unetctl.runtime.run import Resources, plan_run
from unetctl.runtime.tile_choice import AS_PLANNED
from unetctl.runtime.tuning import Axis, Setting

STAND_IN_PX = 16_384
"""Side of the image that is tuned for where none is named: large enough for its edges not to count."""

START_PX = 1024
"""Side of the tiles with which engines and threads are compared: a quarter of the largest, and 6 % more margin."""

MOST_BATCH, MOST_SLOTS = 16, 9


def stand_in_image(model: Model) -> ImageInfo:
    """Return an image that fits a model, for where none is named."""
    channels = len(model.spec.channels)
    return ImageInfo(
        path="an image",
        format="array",
        plane_axes=(),
        channels=channels,
        channel_names=default_channel_names(channels),
        height=STAND_IN_PX,
        width=STAND_IN_PX,
        dtype=model.spec.pixel_type.value,
        pixel_size_um=None,
        chunk_yx=(CHUNK_PX, CHUNK_PX),
        chunk_bytes=CHUNK_PX**2 * channels * np.dtype(model.spec.pixel_type.value).itemsize,
        made_by=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSpace:
    """A model, an image, and what may be used."""

    model: Model
    engines: Mapping[tuple[str, str], EngineChoice]
    """By name and precision; what runs without tuning stands first."""
    info: ImageInfo
    resources: Resources

    @property
    def default(self) -> Setting:
        """What a run takes that was not tuned."""
        return self._default_of(next(iter(self.engines)))

    @property
    def start(self) -> Setting:
        """The default with tiles of `START_PX`, whose rounds are shorter and tell as much of engines and threads."""
        default = self.default
        is_small = _area(self.plan(default).tiles.largest_yx) <= START_PX**2
        if is_small or self._fixed_shapes(default):
            return default
        return replace(default, tiles=replace(default.tiles, tile_yx=(START_PX, START_PX)))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes, those that matter most first."""
        return tuple(
            self._fitting(one)
            for one in (self._engines, self._streams, self._threads, self._tiles, self._batches, self._slots)
        )

    def plan(self, setting: Setting) -> MemoryPlan:
        """Plan the image with a setting. Raises `ResourceError` if not even the smallest tile fits."""
        engine = self.engines[setting.engine, setting.precision]
        resources = replace(self.resources, threads=setting.threads, tiles=setting.tiles)
        return plan_run(self.info, self.model, engine, resources)

    def _fitting(self, axis: Axis) -> Axis:
        """Leave out what does not fit into the memory; a tile that does not is cut by the plan, as in a run."""

        def rivals(best: Setting) -> Iterator[Setting]:
            for one in axis(best):
                try:
                    tiles = self.plan(one).tiles
                except ResourceError:
                    continue
                yield self._canonical(one, tiles)

        return rivals

    def _canonical(self, setting: Setting, tiles: TilePlan) -> Setting:
        """Return the one name of all settings that give the same tiles, so that nothing is tried twice."""
        as_planned = replace(setting, tiles=replace(setting.tiles, tile_yx=None))
        if setting == as_planned or self.plan(as_planned).tiles == tiles:
            return as_planned
        height, width = (-(-side // CHUNK_PX) * CHUNK_PX for side in tiles.largest_yx)
        return replace(setting, tiles=replace(setting.tiles, tile_yx=(height, width)))

    def _fixed_shapes(self, setting: Setting) -> tuple[tuple[int, int], ...]:
        return self.engines[setting.engine, setting.precision].fixed_shapes(self.model)

    def _default_of(self, key: tuple[str, str]) -> Setting:
        return Setting(engine=key[0], precision=key[1], threads=self.resources.threads, tiles=AS_PLANNED)

    def _engines(self, best: Setting) -> Iterator[Setting]:
        for key in self.engines:
            other = replace(best, engine=key[0], precision=key[1])
            if self._fixed_shapes(best) or self._fixed_shapes(other):
                yield self._default_of(key)
            elif key[0] in ENGINES_WITH_STREAMS:
                yield other
            else:
                yield replace(other, tiles=replace(best.tiles, streams=1))

    def _tiles(self, best: Setting) -> Iterator[Setting]:
        fixed = self._fixed_shapes(best)
        yield replace(best, tiles=replace(best.tiles, tile_yx=None))
        margin = 2 * margin_px(self.model.spec.depth)
        if fixed:
            sizes = [(height - margin, width - margin) for height, width in fixed]
        else:
            high, wide = (-(-side // CHUNK_PX) for side in self.plan(best).tiles.largest_yx)
            around = [
                *((high, wide / 2), (high / 2, wide), (high / 2, wide / 2)),
                *((high, wide * 2), (high * 2, wide), (high * 2, wide * 2), (high * 2, wide / 2), (high / 2, wide * 2)),
            ]
            sizes = [(CHUNK_PX * int(y), CHUNK_PX * int(x)) for y, x in around if min(y, x) >= 1]
        for one in sizes:
            if fixed or best.tiles.batch * _area(one) <= MAX_TILE_AREA_PX:
                yield replace(best, tiles=replace(best.tiles, tile_yx=one))

    def _streams(self, best: Setting) -> Iterator[Setting]:
        if best.engine not in ENGINES_WITH_STREAMS:
            return
        for streams in (best.tiles.streams * 2, best.tiles.streams // 2):
            if 1 <= streams <= best.threads:
                slots = max(AS_PLANNED.slots, streams + 2)  # one is being filled and one drained
                yield replace(best, tiles=replace(best.tiles, streams=streams, slots=slots))

    def _threads(self, best: Setting) -> Iterator[Setting]:
        for threads in (best.threads // 2, best.threads * 2):
            if best.tiles.streams <= threads <= self.resources.threads:
                yield replace(best, threads=threads)

    def _batches(self, best: Setting) -> Iterator[Setting]:
        if self._fixed_shapes(best):
            return  # they were built for one tile
        largest_px = _area(self.plan(best).tiles.largest_yx)
        for batch in (best.tiles.batch * 2, best.tiles.batch // 2):
            if 1 <= batch <= MOST_BATCH and batch * largest_px <= MAX_TILE_AREA_PX:
                yield replace(best, tiles=replace(best.tiles, batch=batch))

    def _slots(self, best: Setting) -> Iterator[Setting]:
        for slots in (best.tiles.slots + 2, best.tiles.slots - 1):
            if best.tiles.streams < slots <= MOST_SLOTS:
                yield replace(best, tiles=replace(best.tiles, slots=slots))


ENGINES_WITH_STREAMS = frozenset(name for name, entry in ENGINES.items() if entry.has_streams)


def _area(yx: tuple[int, int]) -> int:
    return yx[0] * yx[1]
