"""Read what is to be scored, and say of each file what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import ResourceError, UnetctlError
from unetctl.runtime.fit import is_pixel_type_taken
from unetctl.runtime.image import ImageInfo, open_image
from unetctl.runtime.spec import ModelSpec
from unetctl.runtime.system import free_memory_bytes
from unetctl.trainer.evaluation_files import Plane, refuse
from unetctl.trainer.raw_pairs import label_faults, problem_text, read_header, read_plane, size_faults

Headers = Mapping[Path, ImageInfo | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadPlane:
    """One image to be scored, as stored."""

    plane: Plane
    labels: NDArray[Any]
    """`[H, W]` integers"""
    image: NDArray[Any] | None
    """`[C, H, W]`"""
    predicted: NDArray[Any] | None
    """`[H, W]` integers"""
    is_own_result: bool
    """Whether `predicted` was made by `unetctl segment`, whose values are the positions of classes."""


def read_planes(
    planes: Sequence[Plane], spec: ModelSpec | None, on_plane: Callable[[int], None] = lambda _: None
) -> list[ReadPlane]:
    """Read everything into memory; images must be what `spec` takes, where there is one.

    Raises `DataError` that names every bad file, and `ResourceError` if the memory is too small.
    """
    problems: list[str] = []
    headers: dict[Path, ImageInfo | None] = {}
    for path in dict.fromkeys(path for one in planes for path in (one.label, one.image, one.prediction) if path):
        headers[path] = read_header(path, problems)
    for plane in {one.stem: one for one in planes}.values():
        problems += _faults(plane, headers, spec)
    refuse(problems)
    _check_memory(planes, headers)
    found: list[ReadPlane] = []
    for plane in planes:
        try:
            found.append(_read(plane, headers))
        except UnetctlError as error:
            problems.append(problem_text(error, plane.label))
        on_plane(len(found))
    refuse(problems)
    return found


def _faults(plane: Plane, headers: Headers, spec: ModelSpec | None) -> list[str]:
    """Say what is wrong with the files of one stem."""
    label = headers[plane.label]
    if label is None:
        return []
    wrong = label_faults(label, plane.label)
    for path in (plane.image, plane.prediction):
        header = headers[path] if path else None
        if path and header:
            wrong += size_faults(header, path, label, f"its label image {plane.label.name}")
    prediction = headers[plane.prediction] if plane.prediction else None
    wrong += label_faults(prediction, plane.prediction) if plane.prediction and prediction else []
    image = headers[plane.image] if plane.image else None
    if spec and image and (image.channels != len(spec.channels) or not is_pixel_type_taken(image.dtype, spec)):
        takes = f"{len(spec.channels)} of {spec.pixel_type}"
        wrong.append(f"{image.path}: {image.channels} channel(s) of {image.dtype}; the model {spec.name} takes {takes}")
    return wrong


def _check_memory(planes: Sequence[Plane], headers: Headers) -> None:
    needed = 0
    for path in (path for one in planes for path in (one.label, one.image, one.prediction) if path):
        if header := headers[path]:
            needed += header.height * header.width * (header.channels * np.dtype(header.dtype).itemsize + 1)
    if needed > 0.8 * (free := free_memory_bytes()):
        raise ResourceError(
            f"the images need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free",
            hint="score fewer of them at once, or cut large ones into pieces",
        )


def _read(plane: Plane, headers: Headers) -> ReadPlane:
    pixels: dict[Path, NDArray[Any]] = {}
    for path in (plane.label, plane.image, plane.prediction):
        if path is not None:
            with closing(open_image(path)) as source:
                pixels[path] = read_plane(source, plane.number)
    prediction = headers[plane.prediction] if plane.prediction else None
    return ReadPlane(
        plane=plane,
        labels=pixels[plane.label][0],
        image=pixels[plane.image] if plane.image else None,
        predicted=pixels[plane.prediction][0] if plane.prediction else None,
        is_own_result=prediction is not None and prediction.made_by is not None,
    )
