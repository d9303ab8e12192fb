"""Images of which one is the other, moved by any number of pixels: taken twice, or cut from one exposure with a margin.

For every shift at once, the correlation of two images over the area that they share: sums over it are products of
Fourier transforms (Padfield 2012, "Masked object registration in the Fourier domain", IEEE TIP 21:2706).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

LIMITS = ((0.1, 0.93), (0.4, 0.85))
"""Least shared part of the area, and the least correlation there. On this set, in which nothing overlaps, nuclei that
happen to meet reach 0.88 over a tenth and 0.75 over four tenths; a true overlap shares its noise too: over 0.95."""
LEAST_VARIANCE = 0.05
"""Of the whole image's: where the shared area of one of the two is flatter, there is nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two images that share an area."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """An image, ready to be compared with any other of its shape at any shift."""

    transform: NDArray[np.complex64]
    sums: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Over the shared area, for every shift: as the first of two images, and as the second."""
    powers: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Squares about the mean over the shared area, likewise; infinite where that is almost flat."""


def find_overlaps(images: Mapping[str, NDArray[np.uint8]]) -> list[Overlap]:
    """Return the pairs of images, all of one shape, that share a part of their area as `LIMITS` says."""
    small = {name: shrunk(image) for name, image in images.items()}
    shape = next(iter(small.values())).shape
    size = tuple(fft.next_fast_len(2 * side) for side in shape)
    area = fft.rfft2(np.ones(shape, np.float32), size)
    count = np.maximum(np.rint(fft.irfft2(area * area.conj(), size)), 1).astype(np.float32)
    prepared = {name: prepare(image, area, count, size) for name, image in small.items()}
    found = []
    for first, second in combinations(images, 2):
        one, other = prepared[first], prepared[second]
        together = fft.irfft2(one.transform * other.transform.conj(), size) - one.sums[0] * other.sums[1] / count
        alike = together / np.sqrt(one.powers[0] * other.powers[1])
        best = [float(alike[count >= part * np.prod(shape)].max()) for part, _ in LIMITS]
        if any(value >= least for value, (_, least) in zip(best, LIMITS, strict=True)):
            found.append(Overlap(first=first, second=second, correlation=max(best)))
    return found


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logarithm of a half or a quarter of the size, about its mean: nuclei are wide enough for that.

    The background is taken off first, so that its noise counts too: images that overlap share it.
    """
    step = 2 if image.shape[0] < 300 else 4
    height, width = (size // step * step for size in image.shape)
    means = image[:height, :width].reshape(height // step, step, width // step, step).mean(axis=(1, 3))
    gray = np.log1p(np.maximum(means - np.percentile(means, 1), 0)).astype(np.float32)
    return gray - gray.mean()


def prepare(
    image: NDArray[np.float32], area: NDArray[np.complex64], count: NDArray[np.float32], size: tuple[int, ...]
) -> Prepared:
    """Transform an image, and sum it and its square over every area that it may share."""
    transform, squares = fft.rfft2(image, size), fft.rfft2(image**2, size)
    sums = fft.irfft2(transform * area.conj(), size), fft.irfft2(area * transform.conj(), size)
    totals = fft.irfft2(squares * area.conj(), size), fft.irfft2(area * squares.conj(), size)
    least = LEAST_VARIANCE * float(image.var())
    powers = [total - one**2 / count for total, one in zip(totals, sums, strict=True)]
    first, second = (np.where(power > least * count, power, np.float32(np.inf)) for power in powers)
    return Prepared(transform=transform, sums=sums, powers=(first, second))
