"""What a TIFF says of its pixels: size, channels, type, origin."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.runtime.reading import (
    assert_delivers,
    info_of,
    pattern,
    source_of,
    write,
)
from unetctl.runtime.errors import DataError
from unetctl.runtime.image import open_image
from unetctl.runtime.ome_tiff import PROVENANCE_KEY


@pytest.mark.parametrize("sizes", [{"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.6}, {"PhysicalSizeX": 0.5}, {}])
def test_pixels_that_are_not_square_or_not_measured_have_no_size(tmp_path: Path, sizes: dict[str, float]) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", pattern(20, 20), metadata={"axes": "YX", **sizes})
    assert info_of(tmp_path / "a.ome.tif").pixel_size_um is None


@pytest.mark.parametrize(
    ("resolution", "unit", "size_um"),
    [((20_000, 20_000), "CENTIMETER", 0.5), ((50_800, 50_800), "INCH", 0.5), ((300, 300), "INCH", None)],
)
def test_resolution_tags_are_believed_where_they_are_plausible(
    tmp_path: Path, resolution: tuple[int, int], unit: str, size_um: float | None
) -> None:
    path = write(tmp_path / "a.tif", pattern(20, 20), resolution=resolution, resolutionunit=unit)
    assert info_of(path).pixel_size_um == (size_um and pytest.approx(size_um))


def test_alpha_and_further_samples_are_channels_with_names(tmp_path: Path) -> None:
    image = pattern(20, 30, 4)
    write(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"])
    write(tmp_path / "b.tif", image, photometric="minisblack", planarconfig="contig")
    assert info_of(tmp_path / "a.tif").channel_names == ("red", "green", "blue", "alpha")
    assert info_of(tmp_path / "b.tif").channel_names == ("channel 1", "channel 2", "channel 3", "channel 4")


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint32", "float32", "float64"])
def test_other_pixel_types_are_opened_and_reported(tmp_path: Path, dtype: str) -> None:
    image = (pattern(40, 50) % 2 if dtype == "bool" else pattern(40, 50)).astype(dtype)
    write(tmp_path / "a.tif", image, photometric="minisblack")
    with source_of(tmp_path / "a.tif") as source:
        assert source.info.dtype == dtype
        assert_delivers(source, image[None, None])


def test_provenance_of_a_result_is_found(tmp_path: Path) -> None:
    made = json.dumps({"model": "m.onnx", "quote": '<">'})
    metadata = {"axes": "YX", "MapAnnotation": [{"Namespace": "n", PROVENANCE_KEY: made}]}
    tifffile.imwrite(tmp_path / "a.ome.tif", pattern(20, 20), metadata=metadata)
    tifffile.imwrite(tmp_path / "b.ome.tif", pattern(20, 20), metadata={"axes": "YX"})
    assert info_of(tmp_path / "a.ome.tif").made_by == made
    assert info_of(tmp_path / "b.ome.tif").made_by is None


def test_inverted_and_indexed_pixels_are_refused_and_a_display_colour_is_not(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint16) * 257
    green, fire = np.stack([ramp * 0, ramp, ramp * 0]), np.stack([ramp, ramp[::-1], ramp])
    write(tmp_path / "white.tif", pattern(20, 20), photometric="miniswhite")
    write(tmp_path / "indexed.tif", pattern(20, 20), photometric="palette", colormap=fire)
    write(tmp_path / "green.tif", pattern(20, 20), photometric="palette", colormap=green)
    with pytest.raises(DataError, match="zero is white"):
        open_image(tmp_path / "white.tif")
    with pytest.raises(DataError, match="palette"):
        open_image(tmp_path / "indexed.tif")
    with source_of(tmp_path / "green.tif") as source:
        assert_delivers(source, pattern(20, 20)[None, None])
