"""Just enough of the protocol buffer wire format to walk through a file without the `onnx` package.

A message is a row of fields; each starts with a varint `number << 3 | wire type`. Nothing is copied: what has a length
is handed out as a view of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """Bytes that are no protocol buffer."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield `(number, value)` of each field: an int for a varint, else a view of its bytes. Raises `WireError`."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise WireError(f"field number 0 at byte {at}")
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == LENGTH:
            size, at = _varint(message, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise WireError(f"wire type {wire} at byte {at}")
        if size > end - at:
            raise WireError(
                f"a field of {size} bytes at byte {at} of {end}: the file is cut off or is no protocol buffer"
            )
        yield number, message[at : at + size]
        at += size


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the values of the field `number` that are messages, strings or bytes. Raises `WireError`."""
    for found, value in fields(message):
        if found == number:
            if isinstance(value, int):
                raise WireError(f"field {number} is a number and not bytes")
            yield value


def text(value: int | memoryview) -> str:
    """Return a string field. Raises `WireError`."""
    if isinstance(value, int):
        raise WireError("a number where text should be")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(str(error)) from error


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise WireError("a number is cut off")
        byte = message[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise WireError(f"a number of more than 10 bytes at byte {at}")
