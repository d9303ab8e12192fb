"""Whether an image is what a model takes; nothing is converted in silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ImageInfo, ImageSource, check_read
from unetctl.runtime.plan import Window
from unetctl.runtime.reads import ReadGrid
from unetctl.runtime.spec import ModelSpec, PixelType, Scope

PIXEL_SIZE_TOLERANCE = 0.15
"""Relative difference of pixel sizes that is not worth a word."""


class Widened:
    """An image of 8 bits as one of 16: the same values in wider pixels."""

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self.info = replace(source.info, dtype="uint16")

    def read(self, plane: int, window: Window, out: NDArray[np.generic]) -> None:
        """Fill `out`, uint16 `[C, h, w]`, with a window."""
        check_read(self.info, plane, window, out)
        narrow = np.empty(out.shape, np.uint8)
        self._source.read(plane, window, narrow)
        out[...] = narrow

    def limit_cache(self, cache_bytes: int, reads: ReadGrid | None = None) -> None:
        """Keep so many bytes of decoded chunks."""
        self._source.limit_cache(cache_bytes, reads)

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def fitted(source: ImageSource, spec: ModelSpec) -> ImageSource:
    """Return `source` as the model takes it, or raise as `check_fit`.

    A model of 16 bits that is normalised by each image's own mean and spread sees 8 bits as what they are; nothing else
    is converted.
    """
    check_fit(source.info, spec)
    return Widened(source) if source.info.dtype != spec.pixel_type else source


def is_pixel_type_taken(dtype: str, spec: ModelSpec) -> bool:
    """Tell whether pixels of this dtype are, or can be widened without loss to, what the model was trained on."""
    by_image = spec.normalisation.scope is Scope.IMAGE and spec.pixel_type is PixelType.UINT16
    return dtype == spec.pixel_type or (by_image and dtype == PixelType.UINT8)


def check_fit(info: ImageInfo, spec: ModelSpec) -> None:
    """Raise `DataError` unless channels and dtype are those of the model; say which option resolves it."""
    wanted = f"the model {spec.name} takes {len(spec.channels)} ({', '.join(spec.channels)}) of {spec.pixel_type}"
    if info.channels != len(spec.channels):
        first = ",".join(str(index + 1) for index in range(len(spec.channels)))
        enough = info.channels > len(spec.channels)
        raise DataError(
            f"{info.path} has {info.channels} channels ({', '.join(info.channel_names)}); {wanted}",
            hint=f"--channels {first} takes {', '.join(info.channel_names[: len(spec.channels)])}"
            if enough
            else "an image with these channels, or a model trained on this kind of image",
        )
    if not is_pixel_type_taken(info.dtype, spec):
        raise DataError(
            f"{info.path} has {info.dtype} pixels; {wanted}",
            cause="which values should become which is not unetctl's to decide",
            hint=f"save the image as {spec.pixel_type}, as the training images were, or train on images like this one",
        )


def fit_notices(info: ImageInfo, spec: ModelSpec) -> tuple[str, ...]:
    """Say what fits the model but was not what it was trained on."""
    if not info.pixel_size_um or not spec.pixel_size_um:
        return ()
    ratio = info.pixel_size_um / spec.pixel_size_um
    if abs(ratio - 1) <= PIXEL_SIZE_TOLERANCE:
        return ()
    size, trained = f"{info.pixel_size_um:.3g} µm", f"{spec.pixel_size_um:.3g} µm"
    return (
        f"pixels of {size}, the model was trained on {trained}: what it looks for is {1 / ratio:.2g} times as large",
    )
