"""Pictures of nuclei that were found: image, truth and prediction, with what was missed and invented."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.object_measures import overlaps
from unetctl.trainer.objects import objects_of

MATCHED, MISSED, INVENTED = (60, 190, 90), (230, 60, 60), (250, 200, 40)
"""Colours: a nucleus that was found, one of the truth without a match, and one of the prediction without a match."""
MATCH_IOU = 0.5

Case = tuple[str, NDArray[np.uint8], NDArray[np.integer], NDArray[np.uint8]]
"""Title, image, numbered truth and labels, all `[H, W]`."""


def unmatched(truth: NDArray[np.integer], found: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the objects, of the truth and of the prediction, that have no match at an IoU of 0.5."""
    pairs = overlaps(truth, found)
    close = pairs.ious >= MATCH_IOU
    numbers = [np.unique(one[one != 0]) for one in (truth, found)]
    matched = pairs.truth_index[close], pairs.predicted_index[close]
    missed, invented = (np.delete(every, one) for every, one in zip(numbers, matched, strict=True))
    return missed, invented


def stretched(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image with its dark parts brightened, as `[H, W, 3]`: faint nuclei would else be black on black."""
    low, high = np.percentile(image, (0.5, 99.7))
    bright = 255 * np.clip((image - low) / max(high - low, 1), 0, 1) ** 0.5
    return np.repeat(bright[..., None], 3, axis=-1).astype(np.uint8)


def outlined(
    image: NDArray[np.uint8], objects: NDArray[np.integer], wrong: NDArray[np.int64], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Draw the inner outlines of objects over an image: the wrong ones in `colour`, the others as matched."""
    from scipy import ndimage

    edge = (objects > 0) & (
        (ndimage.minimum_filter(objects, size=3) != objects) | (ndimage.maximum_filter(objects, size=3) != objects)
    )
    drawn = stretched(image)
    drawn[edge] = MATCHED
    drawn[edge & np.isin(objects, wrong)] = colour
    return drawn


def draw_cases(cases: Sequence[Case], picture: Path) -> None:
    """Draw each case in a row: image, truth with what was missed, prediction with what was invented."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    titles = ("image", "truth; red: missed", "prediction; yellow: invented")
    figure, axes = plt.subplots(len(cases), 3, figsize=(12, 4 * len(cases)), layout="constrained", squeeze=False)
    for row, (title, image, truth, labels) in zip(axes, cases, strict=True):
        found = objects_of(labels, 1)
        missed, invented = unmatched(truth, found)
        panels = (
            stretched(image),
            outlined(image, truth, missed, MISSED),
            outlined(image, found, invented, INVENTED),
        )
        for axis, pixels, name in zip(row, panels, titles, strict=True):
            axis.imshow(pixels, interpolation="nearest")
            axis.set_title(f"{title}: {name}" if name == "image" else name, fontsize=11)
            axis.set_axis_off()
    figure.savefig(picture, dpi=100)
    plt.close(figure)
