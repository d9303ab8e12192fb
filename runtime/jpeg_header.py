"""What a JPEG stream says before it is decoded, and whether it ends as one must.

libjpeg fills what is missing with gray and only warns, so a stream that was cut is found here, by its missing end.
"""

from __future__ import annotations

from dataclasses import dataclass

END_OF_IMAGE = b"\xff\xd9"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegFrame:
    """The frame header (SOF) of ITU T.81, section B.2.2."""

    height: int
    width: int
    components: int
    precision: int
    """Bits a sample: 8, or 12 or 16 in rare files."""


def read_jpeg_frame(data: bytes) -> JpegFrame:
    """Return the frame header of a whole stream, whose end must be there. Raises `ValueError`."""
    frame: JpegFrame | None = None
    position = 2
    if data[:2] != b"\xff\xd8":
        raise ValueError("JPEG data does not start as JPEG data must")
    while True:
        if position + 4 > len(data) or data[position] != 0xFF:
            raise ValueError("the header of the JPEG data is damaged or incomplete")
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _BARE_MARKERS:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _FRAME_MARKERS:
            frame = _parse_frame(data[position + 4 : position + 2 + length])
        position += 2 + length
        if marker == 0xDA:  # start of scan: entropy-coded data follow, in which no end marker can occur by chance
            break
    if frame is None:
        raise ValueError("the JPEG data have no frame header")
    if data.rfind(END_OF_IMAGE, position) < 0:
        raise ValueError(f"JPEG data end after {len(data):,} bytes without an end marker")
    return frame


def _parse_frame(segment: bytes) -> JpegFrame:
    if len(segment) < 6:
        raise ValueError("the frame header of the JPEG data is damaged")
    return JpegFrame(
        precision=segment[0],
        height=int.from_bytes(segment[1:3], "big"),
        width=int.from_bytes(segment[3:5], "big"),
        components=segment[5],
    )
