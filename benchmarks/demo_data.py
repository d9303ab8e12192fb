"""Made-up cells for the demo: a few annotated images, and a slide with its truth. The same bytes for the same seed.

Two kinds of cells, smooth and granular, lie in colonies and touch. Both are about as bright as what is around them, the
light is uneven, and dirt lies between them: a threshold sees little of it, and only texture tells the kinds apart.

Everything is a function of the place on the slide, so that it is rendered band by band, without seams.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RectBivariateSpline

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BACKGROUND, SMOOTH, GRANULAR = 0, 1, 2
CLASSES = (("background", "#000000"), ("smooth cell", "#3aa6a0"), ("granular cell", "#f2a541"))

RADIUS_PX = (11.0, 24.0)
TEXTURE_PX = 1024
"""The textures repeat with this period; a power of two."""
MARGIN_PX = 64
"""How far a cell's centre may lie outside of a window and still be seen in it; more than its radius, halo and blur."""
TILE_PX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the slide; `wobble` are the amplitudes and phases that make its outline uneven."""

    y: float
    x: float
    radius: float
    kind: int
    level: float
    """How much brighter its middle is than what is around it, in gray values."""
    wobble: tuple[complex, complex, complex]
    texture_yx: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """A slide that is not rendered yet."""

    seed: int
    cells: tuple[Cell, ...]
    light: RectBivariateSpline
    """How bright each place is, in spreads from the mean."""


@cache
def texture(seed: int, sigma_px: float) -> Floats:
    """Return smooth periodic noise `[1024, 1024]` of mean 0 and standard deviation 1."""
    noise = np.random.default_rng((seed, 7)).standard_normal((TEXTURE_PX, TEXTURE_PX))
    smooth = ndimage.gaussian_filter(noise, sigma_px, mode="wrap")
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


def hills(size_yx: tuple[int, int], step_px: int, seed: int) -> RectBivariateSpline:
    """Return a smooth random surface over a slide, of spread about 1: for the light, the crowds, the kinds of cells."""
    grid = [np.arange(-step_px, size + 2 * step_px, step_px) for size in size_yx]
    heights = np.random.default_rng((seed, step_px)).standard_normal([len(axis) for axis in grid])
    return RectBivariateSpline(*grid, heights)


def _look_up(field: Floats, y: NDArray[np.int64], x: NDArray[np.int64]) -> Floats:
    return field[np.ix_(y % TEXTURE_PX, x % TEXTURE_PX)]


def make_slide(size_yx: tuple[int, int], seed: int) -> Slide:
    """Throw cells on a slide of `size_yx` px: dense in colonies, touching, nowhere more than slightly overlapping."""
    draw = np.random.default_rng((seed, 1))
    thrown = size_yx[0] * size_yx[1] // 350
    ys, xs = draw.uniform(0, size_yx[0], thrown), draw.uniform(0, size_yx[1], thrown)
    radii = draw.uniform(*RADIUS_PX, thrown)
    lives = draw.random(thrown) < 1 / (1 + np.exp(-5 * (hills(size_yx, 300, seed).ev(ys, xs) - 0.05)))
    granular = draw.random(thrown) < 1 / (1 + np.exp(-3 * hills(size_yx, 500, seed).ev(ys, xs)))
    bucket_px = 2 * int(RADIUS_PX[1])
    buckets: dict[tuple[int, int], list[Cell]] = {}
    cells: list[Cell] = []
    for index in np.flatnonzero(lives):
        y, x, radius = float(ys[index]), float(xs[index]), float(radii[index])
        row, column = int(y) // bucket_px, int(x) // bucket_px
        near = (one for i in (-1, 0, 1) for j in (-1, 0, 1) for one in buckets.get((row + i, column + j), ()))
        if any((y - one.y) ** 2 + (x - one.x) ** 2 < (0.92 * (radius + one.radius)) ** 2 for one in near):
            continue
        angles, sizes = draw.uniform(0, 2 * np.pi, 3), draw.uniform(0, (0.16, 0.08, 0.04))
        first, second, third = (complex(value) for value in sizes * np.exp(1j * angles))
        cell = Cell(
            y=y,
            x=x,
            radius=radius,
            kind=GRANULAR if granular[index] else SMOOTH,
            level=draw.uniform(-6, 14) if granular[index] else draw.uniform(-18, -4),
            wobble=(first, second, third),
            texture_yx=(int(draw.integers(TEXTURE_PX)), int(draw.integers(TEXTURE_PX))),
        )
        cells.append(cell)
        buckets.setdefault((row, column), []).append(cell)
    return Slide(seed=seed, cells=tuple(cells), light=hills(size_yx, 700, seed))


def _outline(cell: Cell, y: NDArray[np.int64], x: NDArray[np.int64]) -> Floats:
    """Return about how far each pixel lies outside of the cell, in px; negative inside."""
    around = (x[None, :] - cell.x) + 1j * (y[:, None] - cell.y)
    rho = np.abs(around) + 1e-6
    turn = around / rho
    square = turn * turn
    two, three, five = cell.wobble
    radius = cell.radius * (1 + (two * square + three * square * turn + five * square * square * turn).real)
    return ((rho / radius - 1) * cell.radius).astype(np.float32)


def render(slide: Slide, window: tuple[int, int, int, int]) -> tuple[Bytes, Bytes]:
    """Render the window `(y0, x0, y1, x1)` of the slide: the image and its labels, both uint8 `[h, w]`."""
    y0, x0, y1, x1 = window
    seed = slide.seed
    rows, columns = np.arange(y0 - MARGIN_PX, y1 + MARGIN_PX), np.arange(x0 - MARGIN_PX, x1 + MARGIN_PX)
    shape = rows.size, columns.size
    nearest, second = np.full(shape, 99, np.float32), np.full(shape, 99, np.float32)
    kind, inner = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    grain, cloud = texture(seed + 2, 1.6), texture(seed + 3, 5.0)
    for cell in slide.cells:
        reach = int(1.3 * cell.radius) + 12
        top, left = int(cell.y) - reach - int(rows[0]), int(cell.x) - reach - int(columns[0])
        patch = (
            slice(max(0, top), max(0, min(shape[0], top + 2 * reach))),
            slice(max(0, left), max(0, min(shape[1], left + 2 * reach))),
        )
        y, x = rows[patch[0]], columns[patch[1]]
        if not y.size or not x.size:
            continue
        outside = _outline(cell, y, x)
        own = outside < nearest[patch]
        second[patch] = np.where(own, nearest[patch], np.minimum(second[patch], outside))
        nearest[patch][own] = outside[own]
        kind[patch][own] = cell.kind
        field, strength = (grain, 24.0) if cell.kind == GRANULAR else (cloud, 5.0)
        look = cell.level + strength * _look_up(field, y + cell.texture_yx[0], x + cell.texture_yx[1])
        inner[patch][own] = look[own]

    between = second - nearest
    inside = (nearest < 0) & (between > 2.5)
    dome = np.clip(-nearest / 5, 0, 1) * np.clip(between / 5, 0, 1)
    edge = np.minimum(np.abs(nearest + 1), np.where(nearest < 0, between / 2, 99))
    dirt = _look_up(texture(seed + 4, 1.2), rows, columns)
    blur = _look_up(texture(seed + 5, 11.0), rows, columns)
    image = (112 + 20 * slide.light(rows, columns) + 5 * blur).astype(np.float32)
    image += np.where(dirt > 2.9, 50, 0) + dome * inner
    image += np.where(nearest > 0, 22 * np.exp(-((nearest - 3) ** 2) / 6), 0)  # the halo of phase contrast
    image -= 28 * np.exp(-(edge**2) / 3)
    image = ndimage.gaussian_filter(image, 1.1)
    image += np.random.default_rng((seed, y0, x0)).normal(0, 5, shape)
    crop = slice(MARGIN_PX, -MARGIN_PX), slice(MARGIN_PX, -MARGIN_PX)
    labels = np.where(inside, kind, BACKGROUND)[crop]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)[crop], labels


def write_training(folder: Path, *, images: int = 12, side_px: int = 512, seed: int = 1) -> None:
    """Write pairs of PNG files to `folder`/images and `folder`/labels, each from a part of one slide of its own."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    step_px = side_px + 700  # so that the light differs from one to the next
    size_yx = side_px, step_px * images
    slide = make_slide(size_yx, seed)
    for index in range(images):
        image, labels = render(slide, (0, index * step_px, side_px, index * step_px + side_px))
        (folder / "images" / f"cells_{index + 1:02}.png").write_bytes(imagecodecs.png_encode(image))
        (folder / "labels" / f"cells_{index + 1:02}.png").write_bytes(imagecodecs.png_encode(labels))


def write_slide(path: Path, truth: Path, *, side_px: int = 8192, seed: int = 2) -> None:
    """Write a square slide as a tiled, compressed TIFF, and its labels beside it, band by band."""
    slide = make_slide((side_px, side_px), seed)
    known = np.empty((side_px, side_px), np.uint8)

    def tiles() -> Iterator[Bytes]:
        for y0 in range(0, side_px, TILE_PX):
            y1 = min(side_px, y0 + TILE_PX)
            band, known[y0:y1] = render(slide, (y0, 0, y1, side_px))
            yield from _tiles_of(band)

    def known_tiles() -> Iterator[Bytes]:
        for y0 in range(0, side_px, TILE_PX):
            yield from _tiles_of(known[y0 : y0 + TILE_PX])

    layout = {"shape": (side_px, side_px), "dtype": np.uint8, "tile": (TILE_PX, TILE_PX), "compression": "zlib"}
    tifffile.imwrite(path, tiles(), photometric="minisblack", **layout)
    tifffile.imwrite(truth, known_tiles(), photometric="minisblack", **layout)


def _tiles_of(band: Bytes) -> Iterator[Bytes]:
    for x0 in range(0, band.shape[1], TILE_PX):
        yield np.ascontiguousarray(band[:, x0 : x0 + TILE_PX])


def main() -> None:
    """Write both into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.demo_data FOLDER")
    folder = Path(sys.argv[1])
    write_training(folder)
    write_slide(folder / "slide.tif", folder / "slide_truth.tif")
    print(f"{folder}: 12 annotated images, slide.tif, and its truth")


if __name__ == "__main__":
    main()
