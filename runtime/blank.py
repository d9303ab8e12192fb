"""Tiles with nothing in them: left out by `--skip-blank`, and what the result says of them.

    a tile is blank     if every pixel of the window that the network would read for it, margins and mirrored pixels
                        included, has one value (in each channel its own)

So no pixel of something that is there lies within reach of a label that is left out, and no other tile notices: each is
computed from its own window, whatever happens to its neighbours. Left-out labels are those of one class. The network
might have said otherwise of pixels that are all alike; who skips them does not ask it.

Chunks that were never written, as in sparse TIFFs, count as the value that the file names for no data (GDAL's tag
42113), and as 0 if it names none; without `--skip-blank` such images are refused. The background of a scanner is seldom
blank in this sense: it has noise, or the traces of JPEG.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from unetctl.runtime.errors import UsageError
from unetctl.runtime.plan import Tile
from unetctl.runtime.report import BlankReport
from unetctl.runtime.spec import ModelSpec

ROWS_AT_ONCE = 64


def is_blank(pixels_cyx: NDArray[Any]) -> bool:
    """Tell whether each channel of a window is of one value. A window that is not is mostly known by its first rows."""
    return all(
        bool((channel[y : y + ROWS_AT_ONCE] == channel[0, 0]).all())
        for y in range(0, pixels_cyx.shape[1], ROWS_AT_ONCE)
        for channel in pixels_cyx
    )


def blank_class(spec: ModelSpec, name: str) -> int:
    """Return the class for what is left out: `name`, or the model's background. Raises `UsageError`."""
    names = [one.name for one in spec.classes]
    if name in names:
        return names.index(name)
    listed = ", ".join(names)
    if name:
        raise UsageError(
            f"--blank-label {name}: the model {spec.name} has no such class", hint=f"its classes: {listed}"
        )
    if spec.background is None:
        raise UsageError(
            f"--skip-blank: the model {spec.name} names no class that means background",
            cause="which label empty tiles get is not unetctl's to decide",
            hint=f"--blank-label NAME, with one of its classes: {listed}",
        )
    return spec.background


class BlankTiles:
    """Counts the tiles that a run leaves out; told of each by the thread that does."""

    def __init__(self, also: Callable[[int, Tile], None]) -> None:
        self.tiles = self.kept_px = self.read_px = 0
        self._also = also
        self._lock = threading.Lock()

    def see(self, plane: int, tile: Tile) -> None:
        """Count a tile, and pass it on."""
        with self._lock:
            self.tiles += 1
            self.kept_px += tile.write.height * tile.write.width
            self.read_px += tile.read.height * tile.read.width
        self._also(plane, tile)

    def report(self, class_name: str, total_px: int) -> BlankReport:
        """Return what was left out."""
        return BlankReport(label=class_name, tiles=self.tiles, pixels=self.kept_px, share=self.kept_px / total_px)
