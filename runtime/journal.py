"""The journal of a chunk store: one record a chunk, each with a checksum of its own.

    plane, level, row, column, length, offset, CRC-32 of the data, left out | CRC-32 of all that

All records have one size, so one that is damaged costs itself and not those after it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from unetctl.runtime.chunks import ChunkKey

_RECORD = struct.Struct("<5IQIB")
_CHECK = struct.Struct("<I")
RECORD_BYTES = _RECORD.size + _CHECK.size
RECORDS_AT_ONCE = 4096


class Record(NamedTuple):
    """Where an encoded chunk lies in `chunks.bin`, and what it is."""

    key: ChunkKey
    length: int
    offset: int
    crc32: int
    """Of the encoded chunk."""
    left_out: bool
    """It was not computed, because nothing is there (see `unetctl.runtime.blank`)."""


def pack_record(record: Record) -> bytes:
    """Return a record as the journal holds it."""
    fields = _RECORD.pack(*record.key, record.length, record.offset, record.crc32, record.left_out)
    return fields + _CHECK.pack(zlib.crc32(fields))


def read_records(journal: Path) -> Iterator[Record]:
    """Yield the sound records of a journal, in their order; those that are torn or damaged are passed over."""
    with journal.open("rb") as file:
        while block := file.read(RECORDS_AT_ONCE * RECORD_BYTES):
            for start in range(0, len(block) - RECORD_BYTES + 1, RECORD_BYTES):
                fields = block[start : start + _RECORD.size]
                if _CHECK.unpack_from(block, start + _RECORD.size)[0] == zlib.crc32(fields):
                    *key, length, offset, crc32, left_out = _RECORD.unpack(fields)
                    yield Record(ChunkKey(*key), length, offset, crc32, bool(left_out))
