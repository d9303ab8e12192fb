"""Stream the tiles of an image through an engine into a sink.

ImageSource --read_mirrored--> Engine.buffer(slot) --submit, result--> labels --crop--> LabelSink
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.blank import is_blank
from unetctl.runtime.engine import Engine, refuse_invalid
from unetctl.runtime.geometry import CROP_PX
from unetctl.runtime.image import ImageSource
from unetctl.runtime.mirror import read_mirrored
from unetctl.runtime.pipeline import Observer, Stages, StageTimes, run_pipeline
from unetctl.runtime.plan import Batch, Tile, TilePlan
from unetctl.runtime.statistics import Statistics


class LabelSink(Protocol):
    """Takes the labels of tiles, in any order, from several threads; each pixel once."""

    def write(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8], *, left_out: bool = False) -> None:
        """Keep the labels of `tile.write`, and whether it was left out as blank."""


class TileWatcher(Protocol):
    """Looks at what passes by, as the preview does; from several threads, each tile once."""

    def see_pixels(self, plane: int, tile: Tile, pixels_cyx: NDArray[Any]) -> None:
        """Look at the pixels of `tile.write`."""

    def see_labels(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8]) -> None:
        """Look at the labels of `tile.write`."""


OnBlank = Callable[[int, Tile], None]
"""Is told of each tile that is left out, with its plane, from several threads."""


IsDone = Callable[[int, Batch], bool]
"""Tells whether a batch of a plane is there already; asked once for each, before it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneBatch:
    """One job: a batch of tiles of one plane."""

    plane: int
    batch: Batch


def stream_labels(
    source: ImageSource,
    tiles: TilePlan,
    engine: Engine,
    sink: LabelSink,
    *,
    classes: int,
    batch: int,
    statistics: Sequence[Statistics] | None = None,
    watchers: Sequence[TileWatcher] = (),
    blank: int | None = None,
    on_blank: OnBlank = lambda *_: None,
    on_pixels: Callable[[int], None] = lambda _: None,
    is_done: IsDone | None = None,
    readers: int = 1,
    writers: int = 1,
    observer: Observer | None = None,
) -> StageTimes:
    """Label every pixel of every plane of `source`, and return where the time went.

    `engine` is entered and was opened for `batch` tiles of the plan's shapes. `statistics` are those of each plane,
    exactly if the model normalises by the whole image. With `blank`, a class, blank tiles are not computed and get that
    label, and `on_blank` is told of them. `on_pixels` is told how many pixels were finished, and
    `observer` what each thread did. Batches that `is_done` names are passed over. Raises what a stage raises first,
    and `DataError` where the network gives no number.
    """
    path = source.info.path
    blanks: dict[int, tuple[bool, ...]] = {}  # by slot: which tiles of its batch are left out

    def fill(slot: int, job: PlaneBatch) -> None:
        tiles_nchw = engine.buffer(slot, job.batch.read_shape)
        for tile, pixels_cyx in zip(job.batch.tiles, tiles_nchw, strict=False):
            read_mirrored(source, job.plane, tile.read, pixels_cyx)
            top, left = tile.write.y0 - tile.read.y0, tile.write.x0 - tile.read.x0
            kept = pixels_cyx[:, top : top + tile.write.height, left : left + tile.write.width]
            for watcher in watchers:
                watcher.see_pixels(job.plane, tile, kept)
        found = zip(job.batch.tiles, tiles_nchw, strict=False)
        blanks[slot] = tuple(blank is not None and is_blank(pixels_cyx) for _, pixels_cyx in found)

    def submit(slot: int, job: PlaneBatch) -> None:
        if not all(blanks[slot]):
            engine.submit(slot, statistics[job.plane] if statistics else None)

    def collect(slot: int, _: PlaneBatch) -> list[NDArray[np.uint8] | None]:
        left_out = blanks[slot]
        labels = [None] * len(left_out) if all(left_out) else engine.result(slot).labels
        return [None if out else labels_yx for out, labels_yx in zip(left_out, labels, strict=False)]

    def drain(job: PlaneBatch, labels_nyx: list[NDArray[np.uint8] | None]) -> None:
        for tile, labels_yx in zip(job.batch.tiles, labels_nyx, strict=True):
            if labels_yx is None:
                kept = np.broadcast_to(np.uint8(blank or 0), tile.write.shape)
                on_blank(job.plane, tile)
            else:
                kept = labels_yx[CROP_PX : CROP_PX + tile.write.height, CROP_PX : CROP_PX + tile.write.width]
                refuse_invalid(kept, classes, what=f"{path}, rows from {tile.write.y0}, columns from {tile.write.x0}")
            sink.write(job.plane, tile, kept, left_out=labels_yx is None)
            for watcher in watchers:
                watcher.see_labels(job.plane, tile, kept)
            on_pixels(kept.size)

    def jobs() -> Iterator[PlaneBatch]:
        for plane in range(source.info.planes):
            for one in tiles.batches(batch):
                if is_done is None or not is_done(plane, one):
                    yield PlaneBatch(plane=plane, batch=one)

    stages = Stages(fill=fill, submit=submit, collect=collect, drain=drain)
    return run_pipeline(jobs(), stages, slots=engine.slots, readers=readers, writers=writers, observer=observer)
