"""How good the demo's result is: each class against the truth, a threshold beside it, and a picture of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_data import CLASSES
from unetctl.runtime.image import open_image
from unetctl.runtime.plan import Window
from unetctl.trainer.measures import confusion_matrix, dice, iou

Bytes = NDArray[np.uint8]

BAND_PX = 512
CROP = Window(y0=2250, x0=3300, y1=2250 + 420, x1=3300 + 420)
"""The part of the slide that the picture shows at full size."""
PREVIEW_STEP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One way to find the cells, measured on every pixel of the slide."""

    name: str
    classes: tuple[str, ...]
    dice: tuple[float, ...]
    iou: tuple[float, ...]


def read(path: Path, window: Window) -> Bytes:
    """Return a window `[h, w]` of an image of one channel."""
    out = np.empty((1, *window.shape), np.uint8)
    with closing(open_image(path)) as source:
        source.read(0, window, out)
    return out[0]


def bands(*paths: Path) -> Iterator[tuple[Bytes, ...]]:
    """Read images of one size side by side, band by band from the top."""
    with closing(open_image(paths[0])) as first:
        height, width = first.info.height, first.info.width
    for y0 in range(0, height, BAND_PX):
        window = Window(y0=y0, x0=0, y1=min(height, y0 + BAND_PX), x1=width)
        yield tuple(read(path, window) for path in paths)


def score(slide: Path, truth: Path, result: Path) -> list[Score]:
    """Measure the result by class, and then cells of any kind: the result's, and those of Otsu's threshold.

    The threshold may choose whether cells are brighter or darker; it is given the better of the two.
    """
    from skimage.filters import threshold_otsu

    names = tuple(name for name, _ in CLASSES)
    histogram = sum(np.bincount(image.ravel(), minlength=256) for (image,) in bands(slide))
    threshold = threshold_otsu(hist=(histogram, np.arange(256)))
    by_class = np.zeros((len(names), len(names)), np.int64)
    any_cell, brighter, darker = (np.zeros((2, 2), np.int64) for _ in range(3))
    for image, known, found in bands(slide, truth, result):
        is_cell = known > 0
        by_class += confusion_matrix(known, found, len(names))
        any_cell += confusion_matrix(is_cell, found > 0, 2)
        brighter += confusion_matrix(is_cell, image > threshold, 2)
        darker += confusion_matrix(is_cell, image <= threshold, 2)
    otsu = max(brighter, darker, key=lambda matrix: dice(matrix)[1])
    cells = "cells of any kind"
    return [
        _summed_up("U-Net", names, by_class),
        _summed_up("U-Net", ("", cells), any_cell, first=1),
        _summed_up("threshold (Otsu)", ("", cells), otsu, first=1),
    ]


def _summed_up(name: str, classes: tuple[str, ...], matrix: NDArray[np.int64], first: int = 0) -> Score:
    return Score(
        name=name,
        classes=classes[first:],
        dice=tuple(map(float, dice(matrix)[first:])),
        iou=tuple(map(float, iou(matrix)[first:])),
    )


def draw(slide: Path, truth: Path, result: Path, picture: Path) -> None:
    """Draw the whole slide with its result, and a part of it at full size: image, truth, result, differences."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    step = PREVIEW_STEP
    overview = np.concatenate([shrunk(coloured(image, found), step) for image, found in bands(slide, result)])
    image, known, found = (read(path, CROP) for path in (slide, truth, result))
    wrong = np.stack([image] * 3, axis=-1) // 2 + 60
    wrong[known != found] = (230, 60, 60)
    figure = plt.figure(figsize=(14.6, 7.9), facecolor="white")
    grid = figure.add_gridspec(2, 4, left=0.01, right=0.99, top=0.955, bottom=0.05, wspace=0.02, hspace=0.08)
    whole = figure.add_subplot(grid[:, :2])
    whole.imshow(overview, interpolation="antialiased")
    corner = CROP.x0 / step, CROP.y0 / step
    whole.add_patch(
        Rectangle(corner, CROP.width / step, CROP.height / step, fill=False, edgecolor="white", linewidth=2)
    )
    whole.set_title("the slide, 8192 x 8192 px, with its labels", fontsize=12)
    panels = (
        ("a part of it, as the microscope saw it", np.stack([image] * 3, axis=-1)),
        ("what is there", coloured(image, known)),
        ("what the network found", coloured(image, found)),
        ("where the two differ", wrong),
    )
    axes = [figure.add_subplot(grid[index // 2, 2 + index % 2]) for index in range(len(panels))]
    for axis, (title, pixels) in zip(axes, panels, strict=True):
        axis.imshow(pixels, interpolation="nearest")
        axis.set_title(title, fontsize=12)
    for axis in (whole, *axes):
        axis.set_axis_off()
    keys = [Patch(color=colour, label=name) for name, colour in CLASSES[1:]]
    figure.legend(handles=keys, loc="lower center", ncols=len(keys), frameon=False, fontsize=12)
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def shrunk(pixels: Bytes, step: int) -> Bytes:
    """Return the means of `step` x `step` blocks of colour pixels `[h, w, 3]`; sides are multiples of `step`."""
    height, width, _ = pixels.shape
    blocks = pixels.reshape(height // step, step, width // step, step, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float32).astype(np.uint8)


def coloured(image: Bytes, labels: Bytes, strength: float = 0.45) -> Bytes:
    """Lay the colours of the classes over a gray image; the background keeps its gray. Returns uint8 `[h, w, 3]`."""
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in CLASSES], np.float32)
    gray = np.repeat(image[..., None], 3, axis=-1).astype(np.float32)
    mixed = np.where(labels[..., None] > 0, (1 - strength) * gray + strength * colours[labels], gray)
    return mixed.astype(np.uint8)
