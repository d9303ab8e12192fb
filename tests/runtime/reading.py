"""What the tests of images share: reading a window, and the contract that every `ImageSource` keeps."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unetctl.runtime.image import ImageInfo, ImageSource, open_image
from unetctl.runtime.plan import Window
from unetctl.runtime.source_tiff import TiffSource

Array = NDArray[np.generic]


def read_window(source: ImageSource, plane: int, y0: int, x0: int, y1: int, x1: int) -> Array:
    """Read a window into an array that was filled with something else."""
    out = np.full((source.info.channels, y1 - y0, x1 - x0), 77, source.info.dtype)
    source.read(plane, Window(y0=y0, x0=x0, y1=y1, x1=x1), out)
    return out


def read_plane(source: ImageSource, plane: int = 0) -> Array:
    return read_window(source, plane, 0, 0, source.info.height, source.info.width)


def read_image(path: Path) -> Array:
    """Open an image and read all its planes: `[P, C, H, W]`."""
    with closing(open_image(path)) as source:
        return np.stack([read_plane(source, plane) for plane in range(source.info.planes)])


def assert_delivers(source: ImageSource, planes_nchw: Array) -> None:
    """The contract: shape and dtype in the header, and windows of any place and any strides equal to the array's."""
    info = source.info
    planes, channels, height, width = planes_nchw.shape
    assert (info.planes, info.channels, info.height, info.width) == planes_nchw.shape
    assert info.dtype == planes_nchw.dtype.name
    assert len(info.channel_names) == channels
    assert info.chunk_bytes == 0 or min(info.chunk_yx) >= 1
    rng = np.random.default_rng(0)
    corners = [(0, 0, height, width), (height - 1, width - 1, height, width), (0, 0, 1, 1)]
    for _ in range(8):
        y0, x0 = int(rng.integers(height)), int(rng.integers(width))
        corners.append((y0, x0, int(rng.integers(y0, height)) + 1, int(rng.integers(x0, width)) + 1))
    for plane in range(planes):
        for y0, x0, y1, x1 in corners:
            due = planes_nchw[plane, :, y0:y1, x0:x1]
            np.testing.assert_array_equal(read_window(source, plane, y0, x0, y1, x1), due)
        strided = np.zeros((height, width, 2 * channels), info.dtype)[:, :, ::2].transpose(2, 0, 1)
        source.read(plane, Window(y0=0, x0=0, y1=height, x1=width), strided)
        np.testing.assert_array_equal(strided, planes_nchw[plane])


def pattern(*shape: int, dtype: str = "uint8", seed: int = 0) -> Array:
    """Smooth, so that it compresses, with noise, so that a wrong pixel shows."""
    rng = np.random.default_rng(seed)
    size = np.iinfo(dtype).max if np.dtype(dtype).kind in "ui" else 1000
    ramp = np.add.outer(np.arange(shape[-2]) * 3, np.arange(shape[-1]) * 5)
    return ((ramp + rng.integers(0, 16, shape) * 7) % size).astype(dtype)


def source_of(path: Path, **options: Any) -> closing[TiffSource]:
    """Open a TIFF, to be closed at the end of a `with`."""
    source = open_image(path, **options)
    assert isinstance(source, TiffSource)
    return closing(source)


def info_of(path: Path, **options: Any) -> ImageInfo:
    with closing(open_image(path, **options)) as source:
        return source.info


def write(path: Path, image: Any, **options: Any) -> Path:
    """Write a plain TIFF, without what tifffile adds to its own."""
    tifffile.imwrite(path, image, **{"metadata": None, **options})
    return path
