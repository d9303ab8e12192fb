"""Which pages of a TIFF are the planes and channels of an image.

tifffile groups pages into series (images) and levels (pyramids); here one series and level is chosen, and its axes are
told apart:

    T Z C Y X S        T, Z and whatever else comes first    count planes
                       C                                     counts channels, a page each
                       S, or C within a page                 counts samples, which are channels too
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tifffile

from unetctl.runtime.errors import DataError, UsageError

Page = tifffile.TiffPage | tifffile.TiffFrame

NOT_PLANES = frozenset(("thumbnail", "label", "macro", "map", "overview", "label image", "macro image"))
"""What tifffile, or Bio-Formats, calls the pictures that go with a slide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """One image of the file, with its number among all that tifffile finds."""

    number: int
    series: tifffile.TiffPageSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffLayout:
    """The pages of one image, in the order of `leading` axes."""

    keyframe: tifffile.TiffPage
    kind: str
    """tifffile's name for the convention by which the file was understood, as `"ome"`."""
    series: int
    leading: tuple[tuple[str, int], ...]
    """Axes that count pages, the slowest first."""
    pages: tuple[Page, ...]
    """One for each position of `leading`, or the first one only: see `contiguous_offset`."""
    contiguous_offset: int | None
    """Where the planes start that follow each other without pages of their own (ImageJ's large stacks)."""
    scale: float
    """Width of the full size over that of the chosen level."""

    @property
    def plane_axes(self) -> tuple[tuple[str, int], ...]:
        """The axes that count planes."""
        return tuple((axis, size) for axis, size in self.leading if axis != "C")

    @property
    def page_channels(self) -> int:
        """How many pages the channels of one plane are spread over."""
        return math.prod(size for axis, size in self.leading if axis == "C")

    @property
    def page_count(self) -> int:
        """How many pages, or contiguous planes, there are."""
        return math.prod(size for _, size in self.leading)

    def page_index(self, plane: int, channel_page: int) -> int:
        """Return the position in `leading` order of a plane's page."""
        rest = {"plane": plane, "channel": channel_page}
        index, stride = 0, 1
        for axis, size in reversed(self.leading):
            which = "channel" if axis == "C" else "plane"
            rest[which], position = divmod(rest[which], size)
            index += position * stride
            stride *= size
        return index


def choose_layout(file: tifffile.TiffFile, *, path: str, series: int | None, level: int) -> TiffLayout:
    """Choose an image and a pyramid level of it. Raises `UsageError` if there is no such one, or it must be chosen."""
    images = [_Image(number=number, series=_without_subifds(one)) for number, one in enumerate(file.series)]
    if not images:
        raise DataError(f"{path}: no image is found in this TIFF")
    if series is not None and not 0 <= series < len(images):
        raise UsageError(f"{path}: there is no series {series}; it holds {_list(images)}")
    if series is None:
        images = _merge_equal(images)
        candidates = [image for image in images if not _is_associated(image)] or images[:1]
        if len(candidates) > 1:
            raise UsageError(
                f"{path}: it holds {len(candidates)} images of different kinds: {_list(candidates)}",
                hint="choose one with --series, by its number",
            )
        chosen = candidates[0]
    else:
        chosen = images[series]
    if not 0 <= level < len(chosen.series.levels):
        raise UsageError(f"{path}: there is no level {level}; it has {len(chosen.series.levels)}, counted from 0")
    return _layout(chosen, level, path=path)


def _is_associated(image: _Image) -> bool:
    """Tell whether an image only goes with another: a thumbnail, a mask, a label, a macro picture."""
    page = image.series.keyframe
    return page.is_reduced or page.is_mask or image.series.name.strip().lower() in NOT_PLANES


def _without_subifds(image: tifffile.TiffPageSeries) -> tifffile.TiffPageSeries:
    """Leave out pages below other pages where tifffile has taken both for planes."""
    if image.kind != "generic" or len({page.is_subifd for page in image if page}) == 1:
        return image
    return _series_of([page for page in image if page and not page.is_subifd])


def _series_of(pages: list[Page]) -> tifffile.TiffPageSeries:
    shape, axes, dtype = (pages[0].shape, pages[0].axes, pages[0].dtype)
    return tifffile.TiffPageSeries(pages, (len(pages), *shape), dtype, "I" + axes, kind="generic")


def _merge_equal(images: list[_Image]) -> list[_Image]:
    """Join the pages of one shape that tifffile keeps apart because they are compressed in different ways."""
    groups: dict[object, list[_Image]] = {}
    for image in images:
        page = image.series.keyframe
        alone = image.series.kind != "generic" or len(image.series.levels) > 1 or page.is_subifd
        key = image.number if alone or _is_associated(image) else (page.shape, page.dtype, page.photometric)
        groups.setdefault(key, []).append(image)
    merged = []
    for group in groups.values():
        first = group[0]
        if len(group) > 1:
            pages = sorted((page for image in group for page in image.series if page), key=lambda page: page.index)
            first = _Image(number=first.number, series=_series_of(pages))
        merged.append(first)
    return merged


def _layout(chosen_image: _Image, level: int, *, path: str) -> TiffLayout:
    image = chosen_image.series
    chosen = image.levels[level]
    if image.transform is not None or image.kind in ("bif", "eer", "mmstack", "ndtiff"):
        raise DataError(
            f"{path}: images of this kind ({image.kind or 'scaled'}) are not read",
            hint="convert it to a plain or OME-TIFF, for example with bfconvert",
        )
    leading = _leading_axes(chosen, path=path)
    number = math.prod(size for _, size in leading)
    if chosen.is_truncated and number > 1:
        offset = chosen.dataoffset
        if offset is None:
            raise DataError(f"{path}: {number:,} planes are promised, and the file has 1 page")
        pages: Sequence[Page | None] = [chosen.keyframe]
    else:
        offset = None
        pages = list(chosen) if len(chosen) == number else []
        if not pages:
            raise DataError(f"{path}: {number:,} planes are promised, and the file has {len(chosen):,} pages for them")
    present = tuple(page for page in pages if page is not None)
    if len(present) != len(pages):
        missing = next(index for index, page in enumerate(pages) if page is None)
        raise DataError(
            f"{path}: plane {missing} of {number:,} is not in the file",
            hint="copy it again: it is damaged, incomplete, or one of several files",
        )
    return TiffLayout(
        keyframe=chosen.keyframe,
        kind=image.kind,
        series=chosen_image.number,
        leading=tuple((axis, size) for axis, size in leading if size > 1),
        pages=present,
        contiguous_offset=offset,
        scale=image.keyframe.imagewidth / chosen.keyframe.imagewidth,
    )


def _leading_axes(chosen: tifffile.TiffPageSeries, *, path: str) -> list[tuple[str, int]]:
    """Return the axes of a series that are not within its pages."""
    page_shape, page_axes = chosen.keyframe.shape, chosen.keyframe.axes
    axes = list(zip(chosen.get_axes(squeeze=False), chosen.get_shape(squeeze=False), strict=True))
    if "S" not in page_axes and axes[-1] == ("S", 1):
        axes.pop()
    leading, within = axes[: len(axes) - len(page_shape)], axes[len(axes) - len(page_shape) :]
    named = all(name == due or (due == "S" and name == "C") for (name, _), due in zip(within, page_axes, strict=False))
    if tuple(size for _, size in within) != tuple(page_shape) or not named:
        found = ", ".join(f"{name} {size}" for name, size in axes)
        raise DataError(
            f"{path}: its axes ({found}) are not read: a page must be Y X, with samples first or last",
            hint="save it with planes or channels as pages, for example from Fiji",
        )
    if any(name in "YXS" for name, _ in leading):
        raise DataError(f"{path}: its axes ({', '.join(name for name, _ in axes)}) are not read")
    return leading


def _list(images: Sequence[_Image]) -> str:
    shown = []
    for image in images[:6]:
        page, name = image.series.keyframe, image.series.name
        shown.append(f"{image.number} ({name + ', ' if name else ''}{page.imagewidth} x {page.imagelength} px)")
    return ", ".join(shown) + (f" and {len(images) - 6} more" if len(images) > 6 else "")
