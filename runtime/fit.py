"""Whether an image is what a model takes; nothing is converted in silence."""

from __future__ import annotations

from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ImageInfo
from unetctl.runtime.spec import ModelSpec

PIXEL_SIZE_TOLERANCE = 0.15
"""Relative difference of pixel sizes that is not worth a word."""


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
    if info.dtype != spec.pixel_type:
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
