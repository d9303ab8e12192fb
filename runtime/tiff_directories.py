"""A walk over the directories (IFDs) of a TIFF before a library sees it: what is absurd is refused while it is cheap.

Caps (a file that needs more is refused, and the message names the number): 100,000 directories, 4,096 tags in each,
64 MiB in one tag. Loops and tags of the pixel layout that point past the end of the file are refused as damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from unetctl.runtime.errors import DataError
from unetctl.runtime.random_access import RandomAccessFile

MAX_DIRECTORIES = 100_000
MAX_TAGS = 4096
MAX_TAG_BYTES = 64 << 20

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
LAYOUT_TAGS = frozenset((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 338, 339, 347))
SUBIFD_TAG, NDPI_TAG = 330, 65420


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """What the walk found."""

    count: int
    """Directories of the main chain; those below them (SubIFDs) are not counted."""
    is_ndpi: bool
    """The file is Hamamatsu's variant with 64-bit offsets in a classic TIFF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    order: str
    count: str
    offset: str
    entry_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    code: int
    type: int
    count: int
    inline: bytes

    @property
    def bytes(self) -> int:
        return self.count * TYPE_BYTES.get(self.type, 0)


def check_directories(file: RandomAccessFile) -> Directories:
    """Walk the chain of directories and those below them. Raises `DataError`."""
    header = file.read(0, min(16, file.size))
    order = {b"II": "<", b"MM": ">"}.get(header[:2], "")
    if not order or len(header) < 8:
        raise DataError(f"{file.path}: this is not a TIFF file, or only the first bytes of one")
    version = struct.unpack(order + "H", header[2:4])[0]
    if version == 43:
        if len(header) < 16 or struct.unpack(order + "HH", header[4:8]) != (8, 0):
            raise DataError(f"{file.path}: the header of this BigTIFF is damaged")
        layout = _Format(order=order, count="Q", offset="Q", entry_bytes=20)
    elif version == 42:
        layout = _Format(order=order, count="H", offset="I", entry_bytes=12)
    else:
        raise DataError(
            f"{file.path}: this is a raw camera file or another relative of TIFF, not a TIFF",
            cause=f"its version number is {version} instead of 42 or 43",
            hint="convert it to TIFF",
        )
    start = 4 if version == 42 else 8
    offset = struct.unpack_from(order + layout.offset, header, start)[0]
    return _walk(file, layout, offset)


def _walk(file: RandomAccessFile, layout: _Format, offset: int) -> Directories:
    seen: set[int] = set()
    count = 0
    is_ndpi = False
    while offset:
        entries, end = _read_directory(file, layout, offset, seen)
        if count == 0:
            is_ndpi = any(entry.code == NDPI_TAG for entry in entries) and layout.order == "<" and layout.offset == "I"
        count += 1
        for below in _offsets_below(file, layout, entries):
            _read_directory(file, layout, below, seen)
        offset = _unpack(file, layout, "Q" if is_ndpi else layout.offset, end)
    if not count:
        raise DataError(f"{file.path}: this TIFF holds no image", hint="copy it again: it is damaged or incomplete")
    return Directories(count=count, is_ndpi=is_ndpi)


def _read_directory(file: RandomAccessFile, layout: _Format, offset: int, seen: set[int]) -> tuple[list[_Entry], int]:
    """Return the checked entries of the directory at `offset`, and where the offset of the next one is stored."""
    if offset in seen:
        raise DataError(f"{file.path}: the chain of pages of this TIFF runs in a circle, so the file is damaged")
    seen.add(offset)
    if len(seen) > MAX_DIRECTORIES:
        raise DataError(
            f"{file.path}: this TIFF has more than {MAX_DIRECTORIES:,} pages",
            hint="split it into files with fewer pages",
        )
    count = _unpack(file, layout, layout.count, offset)
    if count > MAX_TAGS:
        raise DataError(f"{file.path}: page {len(seen)} of this TIFF claims {count:,} tags, so the file is damaged")
    start = offset + struct.calcsize(layout.order + layout.count)
    data = file.read(start, count * layout.entry_bytes)
    entry_format = struct.Struct(f"{layout.order}HH{layout.offset}{struct.calcsize('=' + layout.offset)}s")
    entries = [
        _Entry(code=code, type=kind, count=number, inline=inline)
        for code, kind, number, inline in entry_format.iter_unpack(data)
    ]
    for entry in entries:
        _check_entry(file, layout, entry)
    return entries, start + len(data)


def _check_entry(file: RandomAccessFile, layout: _Format, entry: _Entry) -> None:
    if entry.bytes > MAX_TAG_BYTES:
        raise DataError(
            f"{file.path}: tag {entry.code} of this TIFF claims {entry.bytes >> 20:,} MiB",
            cause=f"up to {MAX_TAG_BYTES >> 20} MiB are read",
        )
    if entry.code in LAYOUT_TAGS and entry.bytes > len(entry.inline):
        offset = struct.unpack(layout.order + layout.offset, entry.inline)[0]
        if offset + entry.bytes > file.size:
            raise DataError(
                f"{file.path}: tag {entry.code} of this TIFF lies past the end of the file",
                hint="copy it again: it is damaged or incomplete",
            )


def _offsets_below(file: RandomAccessFile, layout: _Format, entries: list[_Entry]) -> Iterator[int]:
    for entry in entries:
        if entry.code != SUBIFD_TAG or not entry.count:
            continue
        code = {4: "I", 13: "I", 16: "Q", 18: "Q"}.get(entry.type)
        if code is None:
            raise DataError(f"{file.path}: the pyramid levels (SubIFDs) of this TIFF have no valid offsets")
        data = entry.inline[: entry.bytes]
        if entry.bytes > len(entry.inline):
            data = file.read(struct.unpack(layout.order + layout.offset, entry.inline)[0], entry.bytes)
        yield from (offset for offset in struct.unpack(f"{layout.order}{entry.count}{code}", data) if offset >= 8)


def _unpack(file: RandomAccessFile, layout: _Format, code: str, offset: int) -> int:
    form = layout.order + code
    return int(struct.unpack(form, file.read(offset, struct.calcsize(form)))[0])
