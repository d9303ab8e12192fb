"""The paper's weight map (section 3, equation 2): what makes the network learn the thin borders between cells.

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

w_c balances the classes. d1 and d2 are the distances from x to the nearest and the second nearest cell, from pixel
centre to pixel centre. The border term is that of figure 3d: of pixels between cells, and 0 inside them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

REACH_SIGMAS = 5
"""Where the second nearest cell is further than this, the term is left out: under exp(-12.5) = 4e-6 of w0."""

MAX_CLASS_WEIGHT = 20.0
"""A class of a few pixels would else get a weight with which no training is stable."""


def border_weights(cells: NDArray[np.integer], *, weight: float, sigma_px: float) -> NDArray[np.float32]:
    """Return the border term for numbered cells `[H, W]`, 0 where there is none.

    Each cell's distances are computed in its own bounding box, widened by `REACH_SIGMAS` sigma: hundreds of cells cost
    little more than one, and what lies outside could not be told from 0 in a weight of the order of 1.
    """
    from scipy import ndimage

    height, width = cells.shape
    reach = math.ceil(REACH_SIGMAS * sigma_px)
    nearest = np.full(cells.shape, np.inf, np.float32)
    second = nearest.copy()
    for number, box in enumerate(ndimage.find_objects(cells), start=1):
        if box is None:
            continue
        rows, columns = (
            slice(max(0, one.start - reach), min(size, one.stop + reach))
            for one, size in zip(box, (height, width), strict=True)
        )
        distance = ndimage.distance_transform_edt(cells[rows, columns] != number).astype(np.float32)
        one, two = nearest[rows, columns], second[rows, columns]
        np.minimum(two, np.maximum(one, distance), out=two)
        np.minimum(one, distance, out=one)
    between = (cells == 0) & np.isfinite(second)
    weights = np.zeros(cells.shape, np.float32)
    weights[between] = weight * np.exp(-((nearest[between] + second[between]) ** 2) / (2 * sigma_px**2))
    return weights


def connected_regions(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the regions of `mask` `[H, W]` that are connected through pixel sides, from 1; 0 outside."""
    from scipy import ndimage

    regions: NDArray[np.int32] = ndimage.label(mask)[0].astype(np.int32)
    return regions


def separate(instances: NDArray[np.integer]) -> NDArray[np.int32]:
    """Number instances from 1 and cut a line of background between those that touch, also at a corner.

    The paper's network tells cells apart only by the background between them. The line is one pixel wide and taken from
    the larger of two cells, so that small ones survive. 0 stays 0.
    """
    from scipy import ndimage

    found, positions, areas = np.unique(instances, return_inverse=True, return_counts=True)
    order = np.lexsort((found, -areas))  # the largest first, so that a smaller cell has the higher number
    order = order[found[order] != 0]
    numbers = np.zeros(len(found), np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    cells = numbers[positions.reshape(instances.shape)]
    highest = ndimage.maximum_filter(cells, size=3, mode="nearest")
    separated: NDArray[np.int32] = np.where((cells > 0) & (highest > cells), 0, cells).astype(np.int32)
    return separated


def class_weights(pixels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return w_c for the number of training pixels of each class: their inverse frequency, 1 on average over pixels.

    A class without a pixel gets 1; no class gets more than `MAX_CLASS_WEIGHT`.
    """
    present = pixels > 0
    weights = np.ones(len(pixels), np.float64)
    weights[present] = pixels.sum() / (present.sum() * pixels[present])
    return np.minimum(weights, MAX_CLASS_WEIGHT).astype(np.float32)
