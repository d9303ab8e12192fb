"""TIFF files that are damaged, cut, hostile or of a kind that is refused: each with the error it must give."""

import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.runtime.reading import pattern, read_image, read_plane
from unetctl.runtime.errors import DataError, UnetctlError
from unetctl.runtime.image import open_image

TILED: dict[str, Any] = {"tile": (32, 32), "compression": "zlib", "metadata": None}


def tiff(tags: dict[int, tuple[int, int]], pixels: bytes = bytes(64), next_ifd: int = 0) -> bytes:
    """Write a little-endian TIFF of one page, `{code: (type, value)}`; the pixels are at offset 8."""
    start = 8 + len(pixels)
    entries = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, (kind, value) in sorted(tags.items()))
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_ifd)
    return b"II*\0" + struct.pack("<I", start) + pixels + ifd


def page(width: int = 8, height: int = 8, **changes: int) -> dict[int, tuple[int, int]]:
    """The tags of an uncompressed 8-bit gray image; `t259=5` changes one."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    tags |= {int(name[1:]): value for name, value in changes.items()}
    return {code: (4, value) for code, value in tags.items()}


def refused(path: Path, content: bytes, said: str | None, error: type[UnetctlError] = DataError) -> None:
    path.write_bytes(content)
    with pytest.raises(error, match=said) as raised:
        read_image(path)
    message = str(raised.value)
    assert str(path) in message
    assert len(message.splitlines()) <= 6


def test_the_generator_writes_a_readable_tiff(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(page(), bytes(range(64))))
    assert read_image(tmp_path / "a.tif").reshape(-1).tolist() == list(range(64))


HOSTILE = {
    "no page": (b"II*\0" + bytes(4), "holds no image"),
    "first page past the end": (b"II*\0" + struct.pack("<I", 10**6), "ends too early"),
    "page that follows itself": (tiff(page(), next_ifd=72), "runs in a circle"),
    "width 0": (tiff(page(width=0)), "contradicts itself"),
    "height 0": (tiff(page(height=0, t278=8)), "height of this image is 0"),
    "0 rows a strip": (tiff(page(t278=0)), "strip rows of this image is 0|table of its strips"),
    "tile width 0": (tiff(page(t322=0, t323=16, t324=8, t325=64)), "is 0|no possible number"),
    "2^31 squared in 200 bytes": (tiff(page(2**31, 2**31)), "no possible number"),
    "2^30 squared in 200 bytes": (tiff(page(2**30, 2**30)), "cannot be in so small a file"),
    "2^30 squared, compressed": (tiff(page(2**30, 2**30, t259=8)), "cannot be in so small a file"),
    "more strips than listed": (tiff(page(t278=1)), "table of its strips"),
    "one tile of 2^20 squared": (tiff(page(2**20, 2**20, t322=2**20, t323=2**20, t324=8, t325=64)), "too large"),
    "tiles of 1 px": (tiff(page(20_000, 20_000, t322=1, t323=1, t324=8, t325=1)), "table of its tiles"),
    "offset past the end": (tiff(page(t273=10**6)), "strip 0 lies past the end"),
    "byte count past the end": (tiff(page(t279=10**6)), "strip 0 lies past the end"),
    "byte count 0, offset set": (tiff(page(t279=0)), "strip 0 holds no data"),
    "both 0, which is sparse": (tiff(page(t273=0, t279=0)), "strip 0 holds no data"),
    "fewer bytes than rows": (tiff(page(t279=63)), "strip 0 is incomplete"),
    "unknown compression": (tiff(page(t259=200)), "200"),
    "65,529 samples": (tiff(page(t277=65_529)), "incomplete|cannot be|damaged"),
    "volume": (tiff(page(t32997=2)), "ImageDepth"),
    "Lab": (tiff(page(t262=8)), "colour space"),
    "no meaning": (tiff({code: tag for code, tag in page().items() if code != 262}), "Photometric"),
    "BigTIFF with offsets of 4": (b"II+\0\4\0\0\0" + bytes(16), "BigTIFF"),
    "camera file": (b"IIU\0" + bytes(16), "camera"),
    "4,097 tags": (b"II*\0\x08\0\0\0" + struct.pack("<H", 4097) + bytes(60_000), "4,097 tags"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header_is_refused_by_what_is_wrong(tmp_path: Path, name: str) -> None:
    content, said = HOSTILE[name]
    refused(tmp_path / "a.tif", content, said)


def test_tag_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    entry = struct.pack("<HHII", 34_675, 5, 2**29, 8)
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)
    refused(tmp_path / "a.tif", content, "claims 4,096 MiB")


def test_chain_of_a_million_empty_pages_is_refused_quickly(tmp_path: Path) -> None:
    offsets = np.arange(14, 14 + 6 * 200_000, 6, dtype="<u4")
    chain = np.zeros(200_000, dtype=[("count", "<u2"), ("next", "<u4")])
    chain["next"] = offsets
    refused(tmp_path / "a.tif", b"II*\0\x08\0\0\0" + chain.tobytes(), "more than 100,000 pages")


@pytest.mark.parametrize("percent", [1, 10, 25, 50, 75, 90, 99])
@pytest.mark.parametrize("layout", [TILED, {"rowsperstrip": 9}, {"compression": "jpeg", "tile": (32, 32)}])
def test_truncated_file_is_refused(tmp_path: Path, percent: int, layout: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pattern(200, 200), **{"metadata": None, **layout})
    content = (tmp_path / "a.tif").read_bytes()
    refused(tmp_path / "a.tif", content[: len(content) * percent // 100], None)


def test_truncated_slide_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pattern(200, 200), **TILED)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(DataError, match=r"tile at row \d, column \d lies past the end"):
        open_image(tmp_path / "a.tif")


def overwritten(path: Path, name: str, change: Any, page_number: int = 0) -> Path:
    """Change one tag of a file in place."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[page_number].tags[name]
        tag.overwrite(change(tag.value))
    return path


def with_item(index: int, value: int) -> Any:
    return lambda values: (*values[:index], value, *values[index + 1 :])


@pytest.mark.parametrize("tags", [("TileByteCounts",), ("TileOffsets",), ("TileByteCounts", "TileOffsets")])
def test_lost_tile_is_named_by_row_and_column(tmp_path: Path, tags: tuple[str, ...]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pattern(100, 200), **TILED)
    for tag in tags:
        overwritten(path, tag, with_item(9, 0))
    if len(tags) == 2:
        assert not tifffile.imread(path)[32:64, 64:96].any(), "the fault that is looked for: zeros for missing pixels"
    with pytest.raises(DataError, match="tile at row 1, column 2 holds no data"):
        open_image(path)


def test_damaged_tile_is_named_with_file_plane_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pattern(2, 100, 200), **TILED)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[1].dataoffsets[9], file.pages[1].databytecounts[9]
    content = bytearray(path.read_bytes())
    content[offset + count // 2] ^= 0x10
    path.write_bytes(content)
    with closing(open_image(path)) as source:
        read_plane(source, 0)
        with pytest.raises(DataError, match=f"{path}, plane 1: the tile at row 1, column 2 is damaged"):
            read_plane(source, 1)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("size", [32 * 32 - 1, 32 * 32 // 2, 1])
def test_tile_that_decodes_to_too_little_is_damaged(tmp_path: Path, compression: str, size: int) -> None:
    encode = getattr(imagecodecs, f"{compression}_encode")
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter([encode(bytes(size))]),
        shape=(32, 32),
        dtype=np.uint8,
        tile=(32, 32),
        compression=compression,
    )
    with closing(open_image(tmp_path / "a.tif")) as source, pytest.raises(DataError, match="column 0 is damaged"):
        read_plane(source)


@pytest.mark.parametrize("compression", ["zlib", "zstd"])
def test_bomb_in_a_tile_is_refused_without_inflating_it(tmp_path: Path, compression: str) -> None:
    bomb = getattr(imagecodecs, f"{compression}_encode")(bytes(1 << 26))
    tifffile.imwrite(
        tmp_path / "a.tif", iter([bomb]), shape=(32, 32), dtype=np.uint8, tile=(32, 32), compression=compression
    )
    with closing(open_image(tmp_path / "a.tif")) as source, pytest.raises(DataError, match="column 0 is damaged"):
        read_plane(source)


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000", "png"])
@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (16, 16), (300, 300)])
def test_tile_of_another_shape_is_damaged(tmp_path: Path, codec: str, shape: tuple[int, int]) -> None:
    """Of 16 x 64 px, the tile would be filled with rearranged pixels; of 300 x 300, the memory with more than due."""
    encode = {"jpeg": imagecodecs.jpeg8_encode, "jpeg2000": imagecodecs.jpeg2k_encode, "png": imagecodecs.png_encode}
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter([encode[codec](pattern(*shape))]),
        shape=(32, 32),
        dtype=np.uint8,
        tile=(32, 32),
        compression=codec,
        photometric="minisblack",
    )
    if shape == (16, 64):
        assert tifffile.imread(tmp_path / "a.tif").shape == (32, 32), "the fault that is looked for: pixels rearranged"
    with closing(open_image(tmp_path / "a.tif")) as source, pytest.raises(DataError, match="column 0 is damaged"):
        read_plane(source)


def test_cut_jpeg_tile_is_damaged(tmp_path: Path) -> None:
    """The decoder alone would fill it with gray."""
    data = imagecodecs.jpeg8_encode(pattern(32, 32))
    data = data[: len(data) * 2 // 3]
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter([data]),
        shape=(32, 32),
        dtype=np.uint8,
        tile=(32, 32),
        compression="jpeg",
        photometric="minisblack",
    )
    with closing(open_image(tmp_path / "a.tif")) as source, pytest.raises(DataError, match="end marker"):
        read_plane(source)


def test_page_unlike_the_first_is_refused(tmp_path: Path) -> None:
    """tifffile's frames take every page for the first one."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pattern(3, 64, 64), metadata={"axes": "ZYX"}, tile=(32, 32), compression="zlib")
    overwritten(path, "ImageLength", lambda _: 40, page_number=2)
    with closing(open_image(path)) as source:
        read_plane(source, 1)
        with pytest.raises(DataError, match=r"plane 2.* not like the first one"):
            read_plane(source, 2)
