"""One training sample: a window cut from an image, deformed, moved, turned and mirrored in one resampling.

    coordinates of the window  ->  flip, rotate, shift  ->  + elastic displacement  ->  image bicubic, labels nearest
    image  ->  blur, contrast, brightness

The window is the network's input for the tile, margins included, and what lies outside the image is mirrored by the
same function as in inference. Labels and weights are sampled where the network's output lies. The elastic displacement
is the paper's (section 3.1): random vectors on a coarse 3x3 grid, Gaussian with a standard deviation of 10 px,
interpolated bicubically to every pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import conv2d, grid_sample, interpolate, pad

from unetctl.runtime.geometry import align_up, input_px, shrinkage_px
from unetctl.runtime.mirror import mirror_indices
from unetctl.runtime.plan import Window
from unetctl.trainer.dataset import Pair
from unetctl.trainer.settings import AugmentConfig

BICUBIC_REACH_PX = 2
"""Pixels that bicubic interpolation reads on each side of a coordinate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one step is trained on, as a batch of one."""

    image: Tensor
    """float32 `[1, C, H, W]`, normalised"""
    labels: Tensor
    """int64 `[1, h, w]`, the network's output for `H x W`"""
    weights: Tensor
    """float32 `[1, h, w]`"""


def cut(array: NDArray[np.generic], window: Window) -> NDArray[np.generic]:
    """Return a window of `array` `[..., H, W]`, mirrored where it reaches beyond the array."""
    rows = mirror_indices(window.y0, window.y1, array.shape[-2])
    columns = mirror_indices(window.x0, window.x1, array.shape[-1])
    return array[..., rows[:, None], columns]


def tile_shape(pair: Pair, tile: int | str, depth: int) -> tuple[int, int]:
    """Return the kept pixels of a sample: `tile` a side or the whole image, and no more than covers the image."""
    height, width = (align_up(size, depth) for size in pair.labels.shape)
    return (height, width) if isinstance(tile, str) else (min(tile, height), min(tile, width))


def draw_sample(
    pair: Pair,
    *,
    tile: int | str,
    depth: int,
    settings: AugmentConfig,
    class_weights: Tensor,
    random: Generator,
    foreground: float = 0.0,
    background: int | None = None,
) -> Sample:
    """Cut a sample at a random place; the same state of `random` gives the same sample.

    With a chance of `foreground` the place is one that shows a pixel of a class other than `background`: of a class
    drawn first, so that rare ones are seen, then of any of its pixels, anywhere in the tile.
    """
    kept = tile_shape(pair, tile, depth)
    centre = _place(pair.labels, kept, foreground, background, random)
    coordinates = _coordinates(centre, kept, depth, settings, random)
    low = torch.floor(coordinates.amin(dim=(1, 2))).long() - BICUBIC_REACH_PX
    high = torch.ceil(coordinates.amax(dim=(1, 2))).long() + BICUBIC_REACH_PX + 1
    window = Window(y0=int(low[0]), x0=int(low[1]), y1=int(high[0]), x1=int(high[1]))
    coordinates -= low.view(2, 1, 1)

    pixels = torch.from_numpy(cut(pair.image, window).astype(np.float32))
    image = _bicubic(pixels, coordinates).clamp_(0, np.iinfo(pair.image.dtype).max)  # bicubic overshoots at edges
    shift, scale = (torch.from_numpy(one).view(-1, 1, 1) for one in (pair.shift, pair.scale))
    image = (image - shift) * scale
    image = _vary_gray(image, settings, random)

    side = shrinkage_px(depth) // 2
    nearest = coordinates[:, side:-side, side:-side].round_().long()
    places = nearest[0] * window.width + nearest[1]
    labels = torch.from_numpy(cut(pair.labels, window).ravel())[places].long()
    border = torch.from_numpy(cut(pair.border, window).ravel())[places].float()
    return Sample(image=image[None], labels=labels[None], weights=(class_weights[labels] + border)[None])


def _place(
    labels: NDArray[np.uint8], kept_yx: tuple[int, int], foreground: float, background: int | None, random: Generator
) -> list[float]:
    """Return the centre (y, x) of a tile inside the image, or of one that is larger than it."""
    chance, *numbers = torch.rand(5, generator=random).tolist()
    rooms = [max(0, size - kept) for size, kept in zip(labels.shape, kept_yx, strict=True)]
    places = [math.floor(number * (room + 1)) for number, room in zip(numbers[:2], rooms, strict=True)]
    if chance < foreground:
        classes = [one for one in np.flatnonzero(np.bincount(labels.ravel())) if one != background]
        if classes:
            pixels = np.flatnonzero(labels == classes[math.floor(numbers[2] * len(classes))])
            shown = divmod(int(pixels[math.floor(numbers[3] * len(pixels))]), labels.shape[1])
            places = [
                min(room, max(0, at - math.floor(number * kept)))
                for at, number, room, kept in zip(shown, numbers[:2], rooms, kept_yx, strict=True)
            ]
    return [place + (kept - 1) / 2 for place, kept in zip(places, kept_yx, strict=True)]


def _coordinates(
    centre_yx: list[float], kept_yx: tuple[int, int], depth: int, settings: AugmentConfig, random: Generator
) -> Tensor:
    """Return where each pixel of the network's input is taken from, float32 `[2, H, W]` (y, x) in the image's frame."""
    numbers = torch.rand(5, generator=random).tolist()
    signs = [-1.0 if settings.flips and number < 0.5 else 1.0 for number in numbers[:2]]
    angle = math.radians(settings.rotation_deg) * (2 * numbers[2] - 1)
    centre = [
        place + settings.shift_px * (2 * number - 1) for place, number in zip(centre_yx, numbers[3:], strict=True)
    ]
    height, width = (input_px(kept, depth) for kept in kept_yx)
    y = (torch.arange(height, dtype=torch.float32) - (height - 1) / 2).view(-1, 1) * signs[0]
    x = (torch.arange(width, dtype=torch.float32) - (width - 1) / 2).view(1, -1) * signs[1]
    sine, cosine = math.sin(angle), math.cos(angle)
    coordinates = torch.stack((cosine * y - sine * x + centre[0], sine * y + cosine * x + centre[1]))
    if settings.elastic_px:
        grid = settings.elastic_px * torch.randn(1, 2, 3, 3, generator=random)
        coordinates += interpolate(grid, (height, width), mode="bicubic", align_corners=True)[0]
    return coordinates


def _bicubic(pixels: Tensor, coordinates: Tensor) -> Tensor:
    """Interpolate `pixels` `[C, h, w]` at `coordinates` `[2, H, W]`, which lie inside."""
    height, width = pixels.shape[1:]
    y, x = coordinates
    grid = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
    return grid_sample(pixels[None], grid[None], mode="bicubic", padding_mode="border", align_corners=True)[0]


def _blurred(image: Tensor, sigma_px: float) -> Tensor:
    """Blur `[C, H, W]` by a Gaussian, cut off at 3 sigma; one of less than a fifth of a pixel would change nothing."""
    if sigma_px < 0.2:
        return image
    reach = math.ceil(3 * sigma_px)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1) / sigma_px) ** 2) / 2)
    kernel /= kernel.sum()
    planes = pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    return conv2d(conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]


def _vary_gray(image: Tensor, settings: AugmentConfig, random: Generator) -> Tensor:
    """Blur, scale and move the values of each channel; 0 is the mean and 1 the standard deviation of the pixels."""
    chance, sigma = torch.rand(2, generator=random).tolist()
    if chance < 0.5:
        image = _blurred(image, sigma * settings.blur_px)
    numbers = 2 * torch.rand(2, len(image), 1, 1, generator=random) - 1
    return image * (1 + settings.contrast * numbers[0]) + settings.brightness * numbers[1]
