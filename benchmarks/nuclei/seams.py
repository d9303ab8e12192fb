"""Tiles that lie side by side in one exposure: the border of one continues into the border of the other.

    ... a1 a0 | b0 b1 ...     each the mean of two lines of pixels along the border, smoothed along it

The step is rms(a0 - b0) over rms(a0 - a1, b0 - b1): about 1 where nothing but the cut is between them. Background alone
makes a step of 1 too; so a0 and b0 must correlate as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Profile = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Grays along a border, as logarithms: of its two outermost lines, and of the two next to them."""

MOST_STEP, LEAST_CORRELATION = 1.3, 0.75
"""On this set the seams that continue have steps of 0.65 to 1.26. Where unrelated borders correlate as much, by chance,
the step is 1.42 or more; so a link between empty borders may be false, which only makes a field larger."""
SIGMA_PX = 1.5
"""Smoothing along a border, against the noise of single pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """Two images that continue each other, the left or the upper one first."""

    first: str
    second: str
    below: bool
    """Whether the second lies below the first; else it lies at its right."""
    step: float
    correlation: float


def border_profiles(image: NDArray[np.uint8]) -> dict[str, Profile]:
    """Return the profiles along the four borders of an image `[H, W]`."""
    from scipy.ndimage import gaussian_filter1d

    gray = np.log1p(image.astype(np.float64))
    lines = {"left": gray.T[:4], "right": gray.T[::-1][:4], "top": gray[:4], "bottom": gray[::-1][:4]}
    smooth = {side: gaussian_filter1d(one, SIGMA_PX, axis=1) for side, one in lines.items()}
    return {side: (one[:2].mean(axis=0), one[2:].mean(axis=0)) for side, one in smooth.items()}


def seam_figures(first: Profile, second: Profile) -> tuple[float, float]:
    """Return the step from one border to the other, and their correlation; 0 where one of the two is flat."""
    across = np.sqrt(np.mean((first[0] - second[0]) ** 2))
    inside = np.sqrt(np.mean([(outer - inner) ** 2 for outer, inner in (first, second)]))
    one, other = (profile[0] - profile[0].mean() for profile in (first, second))
    power = np.sqrt((one**2).sum() * (other**2).sum())
    return float(across / (inside + 1e-9)), float((one * other).sum() / power) if power > 1e-9 else 0.0


def find_seams(images: Mapping[str, NDArray[np.uint8]]) -> list[Seam]:
    """Return the pairs of images, all of one shape, of which one continues the other."""
    profiles = {name: border_profiles(image) for name, image in images.items()}
    found = []
    for first, second in permutations(images, 2):
        for below, end, start in ((False, "right", "left"), (True, "bottom", "top")):
            step, correlation = seam_figures(profiles[first][end], profiles[second][start])
            if step <= MOST_STEP and correlation >= LEAST_CORRELATION:
                found.append(Seam(first=first, second=second, below=below, step=step, correlation=correlation))
    return found
