"""Objects from a label image: what `unetctl.trainer.weight_map.separate` did to the truth, undone in a prediction.

    truth          trained on     predicted      objects
    1 1 2 2        1 . 2 2        x . x x        1 1 2 2
    1 1 2 2        1 . 2 2        x . x x        1 1 2 2

Where objects touch, training cuts a line of background one pixel wide from the larger one. A network that has learned
this well leaves the line too, and against the uncut truth it would be blamed for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.weight_map import connected_regions


def objects_of(labels: NDArray[np.integer], object_class: int) -> NDArray[np.int32]:
    """Number the objects of a class in `labels` `[H, W]` from 1, the largest first; 0 is everything else.

    Objects are regions connected through pixel sides. A pixel between two of them is given to the larger, if that one
    touches it by a side and the other by a side or a corner; nothing else grows.
    """
    from scipy import ndimage

    regions = connected_regions(labels == object_class)
    areas = np.bincount(regions.ravel())[1:]
    numbers = np.zeros(len(areas) + 1, np.int32)
    numbers[1 + np.argsort(-areas, kind="stable")] = np.arange(1, len(areas) + 1)
    objects = numbers[regions]
    none = np.int32(len(areas) + 1)
    sides = ndimage.generate_binary_structure(2, 1)
    lowest = ndimage.minimum_filter(np.where(objects == 0, none, objects), footprint=sides, mode="nearest")
    highest = ndimage.maximum_filter(objects, size=3, mode="nearest")
    between = (objects == 0) & (lowest < highest)
    grown: NDArray[np.int32] = np.where(between, lowest, objects).astype(np.int32)
    return grown
