from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.runtime.reading import pattern
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ArraySource, open_image
from unetctl.runtime.source_tiff import TiffSource
from unetctl.runtime.statistics import array_statistics, plane_statistics


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_statistics_equal_numpy_in_double_precision(dtype: str) -> None:
    image = pattern(3, 217, 130, dtype=dtype) // np.array([1, 2, 50], dtype)[:, None, None]
    statistics = array_statistics(image)
    means, deviations = image.mean(axis=(1, 2), dtype=np.float64), image.std(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(statistics.shift, means, rtol=1e-12)
    np.testing.assert_allclose(1 / np.array(statistics.scale), deviations, rtol=1e-12)


@pytest.mark.parametrize("band_px", [1, 64, 1000, 10**9])
def test_statistics_do_not_depend_on_the_band(band_px: int) -> None:
    source = VirtualSource(61, 47, channels=2, dtype="uint16")
    assert plane_statistics(source, 0, band_px=band_px) == plane_statistics(source, 0)


def test_constant_channel_has_scale_one() -> None:
    statistics = array_statistics(np.full((1, 9, 9), 200, np.uint8))
    assert (statistics.shift, statistics.scale) == ((200.0,), (1.0,))


def test_nearly_constant_channel_keeps_its_deviation() -> None:
    """Floating-point sums of squares would lose it: one pixel in a million differs by one from 65,534."""
    image = np.full((1, 1000, 1000), 65_534, np.uint16)
    image[0, 5, 5] = 65_535
    deviation = 1 / array_statistics(image).scale[0]
    assert deviation == pytest.approx(np.sqrt(1e-6 - 1e-12), rel=1e-12)


def test_array_and_plane_have_the_same_statistics() -> None:
    image = pattern(4, 2, 33, 35)
    for plane in range(4):
        assert plane_statistics(ArraySource(image), plane) == array_statistics(image[plane])


def test_each_chunk_is_decoded_once_though_nothing_is_kept(tmp_path: Path) -> None:
    image = pattern(300, 500)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), compression="zlib")
    with closing(open_image(tmp_path / "a.tif")) as source:
        assert isinstance(source, TiffSource)
        source.limit_cache(0)
        assert plane_statistics(source, 0, band_px=10_000) == array_statistics(image)
        assert source.cache.decoded_chunks == 5 * 8


def test_floating_point_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="float32"):
        array_statistics(np.zeros((1, 4, 4), np.float32))
