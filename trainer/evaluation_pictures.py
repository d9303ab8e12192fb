"""The four pictures of an image that was scored: itself, the truth, the prediction, and where they differ.

Large images are shrunk by a whole factor; in the picture of the errors a wrong pixel still shows, because a block is
coloured more strongly than its share of wrong pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.evaluation_objects import Objects
from unetctl.trainer.label_values import PALETTE

SIDE_PX = 800
"""Longest side of a picture."""

MISSED, INVENTED, MISTAKEN = "#d55e00", "#0072b2", "#cc79a7"
"""Okabe and Ito's vermilion, blue and purple, which colour-blind people can tell apart: an object that was called
background, background that was called an object, and one class taken for another."""

FADED = 0.62
"""How white the image is below its errors."""

BAND_PX = 1 << 20
"""Pixels that are drawn at once."""

Picture = NDArray[np.uint8]
"""`[H, W, 3]`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A picture as a browser takes it."""

    mime: str
    data: bytes
    yx: tuple[int, int]


def shrink_factor(yx: Sequence[int]) -> int:
    """Return the factor by which an image is shrunk."""
    return -(-max(yx) // SIDE_PX)


def image_picture(image_chw: NDArray[Any]) -> Picture:
    """Show an image: RGB as it is, anything else by its first channel in gray; contrast between the percentiles."""
    channels = image_chw if len(image_chw) == 3 else image_chw[[0, 0, 0]]
    small = _drawn(lambda rows: channels[:, rows].transpose(1, 2, 0), channels.shape[1:])
    low, high = np.percentile(small, (0.5, 99.5))
    return _bytes((small - low) / max(1e-6, high - low))


def class_picture(labels: NDArray[np.uint8], classes: Sequence[ClassInfo]) -> Picture:
    """Show labels `[H, W]` in the colours of their classes."""
    palette = np.array([_rgb(one.colour) for one in classes], np.float32)
    return _bytes(_drawn(lambda rows: palette[labels[rows]], labels.shape))


def object_picture(objects: Objects, ground: ClassInfo) -> Picture:
    """Show numbered objects `[H, W]`, neighbours in different colours more often than not."""
    hues = np.array([_rgb(colour) for colour in PALETTE[:7]], np.float32)
    palette = np.concatenate([hues, 0.6 * hues + 0.4, 0.65 * hues])
    nothing = np.array(_rgb(ground.colour), np.float32)

    def draw(rows: slice) -> NDArray[Any]:
        numbers = objects[rows]
        return np.where((numbers != 0)[..., None], palette[numbers % len(palette)], nothing)

    return _bytes(_drawn(draw, objects.shape))


def error_picture(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], background: int, image: Picture | None
) -> Picture:
    """Show where labels `[H, W]` differ, over what `image_picture` made of the image, or over white."""

    def cover(rows: slice) -> NDArray[Any]:
        one, other = truth[rows], predicted[rows]
        missed, invented = other == background, one == background
        kinds: NDArray[np.bool_] = np.stack([missed, invented, ~missed & ~invented], axis=-1)
        kinds &= (one != other)[..., None]
        return kinds

    shares = _drawn(cover, truth.shape)
    total = shares.sum(axis=-1, keepdims=True)
    colours = np.array([_rgb(colour) for colour in (MISSED, INVENTED, MISTAKEN)], np.float32)
    mixed = shares @ colours / np.maximum(total, 1e-6)
    strength = np.sqrt(np.minimum(total, 1))  # half a block of wrong pixels shows as 0.7, one of 64 as 0.12
    gray = np.ones(total.shape[:2]) if image is None else image.mean(axis=-1) / 255
    return _bytes(strength * mixed + (1 - strength) * (FADED + (1 - FADED) * gray[..., None]))


def encode(picture: Picture, *, is_photo: bool) -> Encoded:
    """Encode photographs as JPEG, in full colour resolution, and flat colours as PNG; small pictures always as PNG."""
    height, width = picture.shape[:2]
    if is_photo and height * width > 128 * 128:
        data = imagecodecs.jpeg8_encode(picture, level=88, subsampling="444")
        return Encoded(mime="image/jpeg", data=bytes(data), yx=(height, width))
    return Encoded(mime="image/png", data=bytes(imagecodecs.png_encode(picture, level=9)), yx=(height, width))


def _drawn(draw: Callable[[slice], NDArray[Any]], yx: Sequence[int]) -> NDArray[np.float32]:
    """Return `[h, w, S]`: rows of `draw`, `[rows, W, S]`, of which each block of pixels becomes its mean.

    Rows are drawn in bands, so that the colours of a large image are never in memory at once.
    """
    factor = shrink_factor(yx)
    band = factor * max(1, BAND_PX // (factor * yx[1]))
    return np.concatenate([_block_means(draw(slice(y, y + band)), factor) for y in range(0, yx[0], band)])


def _block_means(array: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Shrink `[H, W, S]`; blocks at the far edges hold what is there."""
    means: NDArray[np.float32] = array.astype(np.float32)
    for axis in (0, 1) if factor > 1 else ():
        starts = np.arange(0, means.shape[axis], factor)
        counts = np.diff(np.append(starts, means.shape[axis]))
        means = np.add.reduceat(means, starts, axis=axis)
        means /= np.expand_dims(counts, (1 - axis, 2)).astype(np.float32)
    return means


def _bytes(picture: NDArray[np.floating]) -> Picture:
    return np.ascontiguousarray(np.rint(255 * np.clip(picture, 0, 1))).astype(np.uint8)


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
