"""The demo's second slide: made-up nuclei in fluorescence, for the model that comes with unetctl, with their truth.

Ellipses with uneven outlines, alone and in clumps that touch, of brightness that differs by a factor of ten, some out
of focus; haze around clumps, uneven light, debris and shot noise. The same bytes for the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.nuclei.pictures import draw_cases
from benchmarks.nuclei.score import ImageScore, score_image

RADIUS_PX = (7.0, 17.0)
CLUMPS_PER_MPX = 240
TOUCHING = 0.7
"""Chance that one more nucleus lies against the last one of a clump."""
CROP = slice(200, 620), slice(300, 720)
"""The part of the slide that the picture shows."""
PHOTONS_PER_GRAY = 2.0
"""How noisy the slide is: a gray value of 100 has a noise of 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nucleus:
    """One nucleus of the slide."""

    y: float
    x: float
    radius: float
    """Half of its longer axis, px"""
    narrow: float
    """Its shorter axis over its longer one"""
    angle: float
    gray: float
    """How much brighter it is than the background"""
    blur_px: float


def throw_nuclei(side_px: int, seed: int) -> list[Nucleus]:
    """Throw clumps of one or more nuclei on a square slide; no two overlap by more than their outlines' unevenness."""
    draw = np.random.default_rng((seed, 1))
    bucket_px = 2 * int(RADIUS_PX[1])
    buckets: dict[tuple[int, int], list[Nucleus]] = {}
    nuclei: list[Nucleus] = []

    def place(y: float, x: float) -> Nucleus | None:
        one = _draw_nucleus(y, x, draw)
        row, column = int(y) // bucket_px, int(x) // bucket_px
        near = [other for i in (-1, 0, 1) for j in (-1, 0, 1) for other in buckets.get((row + i, column + j), ())]
        taken = any(np.hypot(y - other.y, x - other.x) < 0.86 * (one.radius + other.radius) for other in near)
        if taken or not (0 <= y < side_px and 0 <= x < side_px):
            return None
        nuclei.append(one)
        buckets.setdefault((row, column), []).append(one)
        return one

    for _ in range(side_px * side_px * CLUMPS_PER_MPX // 1_000_000):
        last = place(*draw.uniform(0, side_px, 2))
        while last is not None and draw.random() < TOUCHING:
            angle, step = draw.uniform(0, 2 * np.pi), 0.9 * (last.radius + RADIUS_PX[0] + draw.uniform(0, 6))
            last = place(last.y + step * np.sin(angle), last.x + step * np.cos(angle))
    return nuclei


def _draw_nucleus(y: float, x: float, draw: np.random.Generator) -> Nucleus:
    return Nucleus(
        y=y,
        x=x,
        radius=draw.uniform(*RADIUS_PX),
        narrow=draw.uniform(0.62, 1.0),
        angle=draw.uniform(0, np.pi),
        gray=float(np.exp(draw.uniform(np.log(18), np.log(180)))),
        blur_px=draw.choice([0.8, 1.2, 2.4], p=[0.6, 0.3, 0.1]),
    )


def render(nuclei: list[Nucleus], side_px: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Render a square slide: its image and its numbered nuclei, both `[H, W]`."""
    draw = np.random.default_rng((seed, 2))
    truth = np.zeros((side_px, side_px), np.uint16)
    light = np.zeros((side_px, side_px), np.float32)
    grain = ndimage.gaussian_filter(draw.standard_normal((256, 256)), 2, mode="wrap").astype(np.float32)
    grain /= grain.std()
    for number, one in enumerate(nuclei, start=1):
        reach = int(1.2 * one.radius) + 10
        top, left = int(one.y) - reach, int(one.x) - reach
        box = tuple(slice(max(0, start), max(0, min(side_px, start + 2 * reach))) for start in (top, left))
        y, x = np.mgrid[box]
        around = ((x - one.x) + 1j * (y - one.y)) * np.exp(-1j * one.angle)
        rho = np.abs(around.real + 1j * around.imag / one.narrow)
        wobble = draw.uniform(0, 0.06) * np.cos(3 * np.angle(around) + draw.uniform(0, 6))
        inside = (rho < one.radius * (1 + wobble)) & (truth[box] == 0)
        truth[box][inside] = number
        rows, columns = draw.integers(0, 256, 2)
        chromatin = 1 + 0.16 * grain[np.ix_((y[:, 0] + rows) % 256, (x[0] + columns) % 256)]
        light[box] += ndimage.gaussian_filter(one.gray * inside * chromatin, one.blur_px).astype(np.float32)
    haze = ndimage.gaussian_filter(light, 18)
    debris = ndimage.gaussian_filter((draw.random(light.shape) < 2e-5) * 500.0, 1.2)
    place = (np.arange(side_px, dtype=np.float32) / side_px - 0.4) ** 2
    vignette = 1 - 0.5 * (place[:, None] + place[None, :])
    gray = (12 + light + 0.25 * haze + debris) * vignette
    noisy = draw.poisson(gray * PHOTONS_PER_GRAY) / PHOTONS_PER_GRAY + draw.normal(0, 1.2, gray.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), truth


def write_nuclei(path: Path, truth: Path, *, side_px: int = 2048, seed: int = 5) -> int:
    """Write the slide and its truth as tiled, compressed TIFFs, and return how many nuclei there are."""
    image, numbers = render(throw_nuclei(side_px, seed), side_px, seed)
    for file, pixels in ((path, image), (truth, numbers)):
        tifffile.imwrite(file, pixels, photometric="minisblack", tile=(256, 256), compression="zlib")
    return len(np.unique(numbers)) - 1


def score_nuclei(path: Path, truth: Path, result: Path) -> list[ImageScore]:
    """Measure the result on the whole slide, and Otsu's threshold beside it, after a blur that takes the noise away."""
    from skimage.filters import threshold_otsu

    image, numbers, labels = (tifffile.imread(file, key=0) for file in (path, truth, result))
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 1.5)
    otsu = (smooth > threshold_otsu(smooth)).astype(np.uint8)
    return [score_image("model nuclei", numbers, labels), score_image("threshold (Otsu)", numbers, otsu)]


def draw_nuclei(path: Path, truth: Path, result: Path, picture: Path) -> None:
    """Draw a part of the slide at full size: image, what is there, what was found."""
    draw_cases(
        [("a part of the slide", *(tifffile.imread(file, key=0)[CROP] for file in (path, truth, result)))], picture
    )
