import os
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.reading import assert_delivers, pattern, read_plane
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.errors import DataError, MissingInputError, UsageError
from unetctl.runtime.image import ArraySource, open_image
from unetctl.runtime.plan import Window


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30), (4, 2, 20, 30), (1, 1)])
def test_array_source_keeps_the_contract(shape: tuple[int, ...]) -> None:
    image = pattern(*shape)
    assert_delivers(ArraySource(image), image.reshape((1,) * (4 - image.ndim) + shape))


def test_virtual_source_keeps_the_contract() -> None:
    source = VirtualSource(70, 90, channels=3, planes=2, dtype="uint16")
    assert_delivers(source, np.stack([read_plane(source, plane) for plane in range(2)]))


def test_virtual_source_has_gigapixels() -> None:
    source = VirtualSource(400_000, 250_000)
    out = np.empty((1, 64, 64), np.uint8)
    source.read(0, Window(y0=399_936, x0=249_936, y1=400_000, x1=250_000), out)
    assert len(np.unique(out)) > 50


@pytest.mark.parametrize("shape", [(3,), (0, 5), (1, 2, 3, 4, 5)])
def test_array_that_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="is no image"):
        ArraySource(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("plane", "corners", "shape", "dtype"),
    [
        (1, (0, 0, 5, 5), (1, 5, 5), "uint8"),
        (0, (-1, 0, 4, 5), (1, 5, 5), "uint8"),
        (0, (0, 0, 11, 5), (1, 11, 5), "uint8"),
        (0, (3, 0, 3, 5), (1, 0, 5), "uint8"),
        (0, (0, 0, 5, 5), (1, 5, 6), "uint8"),
        (0, (0, 0, 5, 5), (1, 5, 5), "uint16"),
    ],
)
def test_impossible_read_is_a_usage_error(
    plane: int, corners: tuple[int, int, int, int], shape: tuple[int, ...], dtype: str
) -> None:
    y0, x0, y1, x1 = corners
    with pytest.raises(UsageError, match="cannot read"):
        ArraySource(pattern(10, 10)).read(plane, Window(y0=y0, x0=x0, y1=y1, x1=x1), np.empty(shape, dtype))


def test_missing_file_and_folder_are_missing_inputs(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.tif", "no such file"), (tmp_path, "a folder"), (Path("a\0b"), "opened")):
        with pytest.raises(MissingInputError, match=said):
            open_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="NOT RUN: this system has no named pipes")
def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MissingInputError, match="a pipe or a device"):
        open_image(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"I", "format that is not known"),
        (b"II*\0", "not a TIFF file, or only the first bytes"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git-lfs"),
        (b"GIF89a" + bytes(100), "GIF"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"\x89PNG\r\n\x1a\n", "ends too early"),
        (b"\xff\xd8\xff\xe0", "JPEG is damaged"),
        (bytes(1000), "format that is not known"),
    ],
)
def test_file_that_is_no_image_is_named_for_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "slide.tif"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        open_image(path)
    assert str(path) in str(raised.value)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    image = pattern(20, 30)
    tifffile.imwrite(tmp_path / "a.png", image)
    with closing(open_image(tmp_path / "a.png")) as source:
        assert source.info.format == "TIFF"
        np.testing.assert_array_equal(read_plane(source)[0], image)


@given(content=st.binary(max_size=200).map(lambda tail: b"II*\0\x08\0\0\0" + tail))
def test_any_bytes_give_an_image_or_an_error_of_ours(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tif"
    path.write_bytes(content)
    with suppress(DataError, UsageError):
        open_image(path).close()
