import struct
import zlib
from contextlib import closing
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests.runtime.reading import assert_delivers, pattern, read_plane, read_window
from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.image import open_image
from unetctl.runtime.source_picture import PictureSource

RGB = ("red", "green", "blue")


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """Write a PNG chunk by chunk."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    coded = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("channels", "names"), [(1, ("gray",)), (3, RGB), (2, ("gray", "alpha")), (4, (*RGB, "alpha"))]
)
def test_png_is_delivered_as_it_is(tmp_path: Path, dtype: str, channels: int, names: tuple[str, ...]) -> None:
    image = pattern(channels, 37, 53, dtype=dtype)
    interleaved = np.ascontiguousarray(image.transpose(1, 2, 0))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(interleaved[..., 0] if channels == 1 else interleaved))
    with closing(open_image(tmp_path / "a.png")) as source:
        assert source.info.channel_names == names
        assert source.info.chunk_bytes == image.nbytes
        assert_delivers(source, image[None])


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_equals_its_decoder(tmp_path: Path, channels: int) -> None:
    image = pattern(40, 60) if channels == 1 else np.ascontiguousarray(pattern(3, 40, 60).transpose(1, 2, 0))
    data = imagecodecs.jpeg8_encode(image, level=90)
    (tmp_path / "a.jpg").write_bytes(data)
    with closing(open_image(tmp_path / "a.jpg")) as source:
        decoded = imagecodecs.jpeg8_decode(data).reshape(40, 60, channels)
        assert_delivers(source, decoded.transpose(2, 0, 1)[None])


def test_picture_is_decoded_once(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pattern(64, 64)))
    with closing(open_image(tmp_path / "a.png")) as source:
        assert isinstance(source, PictureSource)
        source.limit_cache(0)
        assert source.cache.decoded_chunks == 0
        for y in range(0, 64, 8):
            read_window(source, 0, y, 0, y + 8, 64)
        assert source.cache.decoded_chunks == 1


def test_channels_are_chosen_in_order(tmp_path: Path) -> None:
    image = pattern(3, 20, 20)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(image.transpose(1, 2, 0))))
    with closing(open_image(tmp_path / "a.png", channels=(2, 0))) as source:
        assert source.info.channel_names == ("blue", "red")
        assert_delivers(source, image[None, [2, 0]])
    with pytest.raises(UsageError, match="it has 1 "):
        open_image(tmp_path / "a.png", channels=(3,))
    with pytest.raises(UsageError, match="one level"):
        open_image(tmp_path / "a.png", level=1)


def test_palette_is_delivered_as_its_colours(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
    (tmp_path / "a.png").write_bytes(png(4, 1, 8, 3, b"\0\0\1\2\1", palette))
    (tmp_path / "t.png").write_bytes(png(4, 1, 8, 3, b"\0\0\1\2\1", palette, (b"tRNS", b"\x80")))
    with closing(open_image(tmp_path / "a.png")) as source:
        assert source.info.channel_names == RGB
        assert read_plane(source)[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90], [40, 50, 60]]
    with closing(open_image(tmp_path / "t.png")) as source:
        assert source.info.channel_names == (*RGB, "alpha")
        assert read_plane(source)[3, 0].tolist() == [128, 255, 255, 255]


def test_single_bits_are_black_and_white(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(8, 1, 1, 0, b"\0\xa5"))
    with closing(open_image(tmp_path / "a.png")) as source:
        assert read_plane(source)[0, 0].tolist() == [255, 0, 255, 0, 0, 255, 0, 255]


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (60_000, 60_000), (2000, 2000), (0, 5)])
def test_picture_that_claims_to_be_huge_is_refused_undecoded(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(png(*size, 16, 6, b"\0" * 100))
    with pytest.raises(DataError, match="claims"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_picture_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    image = np.ascontiguousarray(pattern(3, 90, 90).transpose(1, 2, 0))
    data = imagecodecs.png_encode(image) if suffix == "png" else imagecodecs.jpeg8_encode(image)
    (tmp_path / "a").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError, match="is damaged"), closing(open_image(tmp_path / "a")) as source:
        read_plane(source)


def test_the_jpeg_decoder_alone_would_fill_what_is_missing() -> None:
    """The seeded fault that the look for the end marker is there for."""
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(pattern(3, 90, 90).transpose(1, 2, 0)))
    filled = imagecodecs.jpeg8_decode(data[: len(data) // 2])
    assert filled.shape == (90, 90, 3)
    assert (filled != imagecodecs.jpeg8_decode(data)).any()


@pytest.mark.parametrize("from_end", [13, 17, 20, 100, 1000, 2000])
def test_changed_bit_in_a_png_is_found(tmp_path: Path, from_end: int) -> None:
    data = bytearray(imagecodecs.png_encode(pattern(64, 64)))
    data[-from_end] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with closing(open_image(tmp_path / "a.png")) as source, pytest.raises(DataError, match="is damaged"):
        read_plane(source)
