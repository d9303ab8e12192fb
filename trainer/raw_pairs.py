"""Read pairs of images and labels through the runtime's readers, and say of each file what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import UnetctlError
from unetctl.runtime.image import ImageInfo, ImageSource, open_image
from unetctl.runtime.plan import Window
from unetctl.trainer.pairs import FilePair


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawPair:
    """One plane of an image and its label, as stored."""

    stem: str
    name: str
    """The stem, with the plane's number where the file has several."""
    image: NDArray[Any]
    """`[C, H, W]` uint8 or uint16"""
    labels: NDArray[Any]
    """`[H, W]` integers"""
    label_path: Path
    label_values: frozenset[int]
    pixel_size_um: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawPairs:
    """All pairs that could be read, and what is wrong with the others."""

    pairs: tuple[RawPair, ...]
    problems: tuple[str, ...]
    channel_names: tuple[str, ...]


def read_pairs(files: Sequence[FilePair], *, check_bytes: Callable[[int, int], None]) -> RawPairs:
    """Read every plane of every pair of files. A bad file is a problem and not an exception.

    `check_bytes` is told the bytes of all pixels and the number of label pixels before anything is decoded.
    """
    problems: list[str] = []
    headers: dict[str, tuple[ImageInfo, ImageInfo]] = {}
    for pair in files:
        image, label = read_header(pair.image, problems), read_header(pair.label, problems)
        if image and label and not (wrong := [*_wrong_image(image, pair.image), *_wrong_label(image, label, pair)]):
            headers[pair.stem] = image, label
        elif image and label:
            problems += wrong
    problems += _unlike_the_others(headers)
    pixels = [(image.planes * image.height * image.width, image) for image, _ in headers.values()]
    check_bytes(
        sum(count * image.channels * np.dtype(image.dtype).itemsize for count, image in pixels),
        sum(count for count, _ in pixels),
    )
    pairs: list[RawPair] = []
    for pair in files:
        if pair.stem in headers:
            try:
                pairs += _read_planes(pair)
            except UnetctlError as error:
                problems.append(problem_text(error, pair.image))
    names = next((image.channel_names for image, _ in headers.values()), ())
    return RawPairs(pairs=tuple(pairs), problems=tuple(problems), channel_names=names)


def read_header(path: Path, problems: list[str]) -> ImageInfo | None:
    """Return what a file says of its image; a file that cannot be opened is a problem, and None."""
    try:
        with closing(open_image(path)) as source:
            return source.info
    except UnetctlError as error:
        problems.append(problem_text(error, path))
        return None


def _wrong_image(image: ImageInfo, path: Path) -> list[str]:
    wrong: list[str] = []
    if image.dtype not in ("uint8", "uint16"):
        wrong.append(f"{path}: {image.dtype} pixels; convert it, images must have 8 or 16 bits a channel")
    if "alpha" in image.channel_names:
        wrong.append(f"{path}: {image.channels} channels, one of them alpha (RGBA); save it as gray or RGB")
    return wrong


def _wrong_label(image: ImageInfo, label: ImageInfo, pair: FilePair) -> list[str]:
    return [*label_faults(label, pair.label), *size_faults(label, pair.label, image, f"its image {pair.image.name}")]


def label_faults(label: ImageInfo, path: Path) -> list[str]:
    """Say why a file cannot hold labels."""
    wrong: list[str] = []
    if label.format == "JPEG":
        wrong.append(f"{path}: a JPEG label image, whose values are blurred; save it as PNG or TIFF")
    if label.channels != 1:
        wrong.append(f"{path}: a colour label image ({label.channels} channels); save class or instance numbers")
    if not np.issubdtype(np.dtype(label.dtype), np.integer) and label.dtype != "bool":
        wrong.append(f"{path}: {label.dtype} values; labels must be whole numbers")
    return wrong


def size_faults(label: ImageInfo, path: Path, other: ImageInfo, name: str) -> list[str]:
    """Say why labels do not lie over another image, which is called `name`."""
    wrong: list[str] = []
    if label.planes != other.planes:
        wrong.append(f"{path}: {label.planes} plane(s), and {name} has {other.planes}")
    if (label.height, label.width) != (other.height, other.width):
        wrong.append(f"{path}: {label.width} x {label.height} px, and {name} is {other.width} x {other.height}")
    return wrong


def _unlike_the_others(headers: dict[str, tuple[ImageInfo, ImageInfo]]) -> list[str]:
    """Name the images whose channels or pixel type are not those of most images."""
    kinds = Counter((image.channels, image.dtype) for image, _ in headers.values())
    if len(kinds) < 2:
        return []
    (channels, dtype), count = kinds.most_common(1)[0]
    return [
        f"{image.path}: {image.channels} channel(s) of {image.dtype}; {count} other images have {channels} of {dtype}"
        for image, _ in headers.values()
        if (image.channels, image.dtype) != (channels, dtype)
    ]


def _read_planes(pair: FilePair) -> list[RawPair]:
    with ExitStack() as stack:
        image = stack.enter_context(closing(open_image(pair.image)))
        label = stack.enter_context(closing(open_image(pair.label)))
        found = []
        for plane in range(image.info.planes):
            labels = read_plane(label, plane)[0]
            values = np.unique(labels).tolist()
            found.append(
                RawPair(
                    stem=pair.stem,
                    name=pair.stem if image.info.planes == 1 else f"{pair.stem}[{plane}]",
                    image=read_plane(image, plane),
                    labels=labels,
                    label_path=pair.label,
                    label_values=frozenset(int(value) for value in values),
                    pixel_size_um=image.info.pixel_size_um,
                )
            )
        return found


def read_plane(source: ImageSource, plane: int) -> NDArray[Any]:
    """Return a whole plane, `[C, H, W]`."""
    info = source.info
    pixels = np.empty((info.channels, info.height, info.width), info.dtype)
    source.read(plane, Window(y0=0, x0=0, y1=info.height, x1=info.width), pixels)
    return pixels


def problem_text(error: UnetctlError, path: Path) -> str:
    """Return an error about a file in one line that names it."""
    text = error.what if str(path) in error.what else f"{path}: {error.what}"
    return f"{text} ({error.cause})" if error.cause else text
