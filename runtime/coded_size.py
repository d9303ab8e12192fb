"""The size that a compressed chunk claims for itself, read before it is decoded.

A decoder allocates what the chunk's own header says, whatever the TIFF around it says, and tifffile rearranges pixels
of another shape to fit if only their number is right. WebP (at most 16,383 px a side by its format) and JPEG XL and XR
are not looked into.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from unetctl.runtime.jpeg_header import read_jpeg_frame

START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ of JPEG 2000, which always follow each other (ITU T.800, section A.4.1)."""


def jpeg_yx(data: bytes) -> tuple[int, int]:
    """Return height and width of a JPEG stream, whose end must be there. Raises `ValueError`."""
    frame = read_jpeg_frame(data)
    return frame.height, frame.width


def jpeg2000_yx(data: bytes) -> tuple[int, int]:
    """Return height and width of a JPEG 2000 codestream, bare or in a JP2 file. Raises `ValueError`."""
    start = data.find(START_OF_CODESTREAM)
    if start < 0 or len(data) < start + 24:
        raise ValueError("the JPEG 2000 data have no header")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return bottom - top, right - left


def png_yx(data: bytes) -> tuple[int, int]:
    """Return height and width of a PNG. Raises `ValueError`."""
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise ValueError("the PNG data have no header")
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


SIZE_READERS: dict[int, Callable[[bytes], tuple[int, int]]] = {
    **dict.fromkeys((6, 7, 33007, 34892), jpeg_yx),
    **dict.fromkeys((33003, 33004, 33005, 34712), jpeg2000_yx),
    34933: png_yx,
}
"""By the number in the Compression tag."""
