"""OME-XML that lies, or that names other files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.runtime.reading import (
    pattern,
    read_image,
)
from unetctl.runtime.errors import DataError, RefusedError
from unetctl.runtime.image import open_image


def ome(path: Path, change: Any, **metadata: Any) -> Path:
    """Write an OME-TIFF of two planes and change its XML."""
    tifffile.imwrite(path, pattern(2, 20, 20), metadata={"axes": "ZYX", **metadata})
    with tifffile.TiffFile(path) as file:
        assert file.ome_metadata is not None
        xml = change(file.ome_metadata)
    tifffile.imwrite(path, pattern(2, 20, 20), metadata=None, description=xml.encode(), ome=False)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda xml: xml[:-40], "OME-XML is damaged"),
        (lambda xml: xml.replace('SizeZ="2"', 'SizeZ="100000"'), "promises 100,000 planes"),
        (lambda xml: xml.replace('SizeZ="2"', 'SizeZ="-2"'), "SizeZ as -2"),
        (lambda xml: xml.replace('SizeX="20"', 'SizeX="abc"'), "OME-XML is damaged"),
        (lambda xml: xml.replace('SizeX="20"', 'SizeX="30"'), "contradicts its pages"),
        (lambda xml: xml.replace('PlaneCount="2"', 'PlaneCount="2000000000"'), "names page 2000000000"),
        (lambda xml: "<!DOCTYPE a [<!ENTITY b 'c'>]>" + xml[xml.index("<OME") :], "document type"),
    ],
)
def test_ome_xml_that_cannot_be_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    path = ome(tmp_path / "a.ome.tif", change)
    with pytest.raises(DataError, match=said):
        open_image(path)


@pytest.mark.parametrize("name", ["other.ome.tif", "../other.ome.tif", "/etc/other.ome.tif"])
def test_ome_tiff_that_names_another_file_is_refused(tmp_path: Path, name: str) -> None:
    tifffile.imwrite(tmp_path / "other.ome.tif", pattern(2, 20, 20), metadata={"axes": "ZYX"})
    (tmp_path / "in").mkdir()
    uuid = f'<UUID FileName="{name}">urn:uuid:00000000-0000-0000-0000-000000000000</UUID></TiffData>'
    path = ome(
        tmp_path / "in" / "a.ome.tif",
        lambda xml: xml.replace('PlaneCount="2"/>', f'PlaneCount="2">{uuid}'),
    )
    with pytest.raises(RefusedError, match="another file"):
        open_image(path)


def test_ome_tiff_that_was_renamed_is_known_by_its_own_identity(tmp_path: Path) -> None:
    uuid = "urn:uuid:11111111-0000-0000-0000-000000000000"
    named = f'<UUID FileName="before.ome.tif">{uuid}</UUID></TiffData>'

    def change(xml: str) -> str:
        assert f'UUID="{uuid}"' in xml
        return xml.replace('PlaneCount="2"/>', f'PlaneCount="2">{named}')

    path = ome(tmp_path / "after.ome.tif", change, UUID=uuid.removeprefix("urn:uuid:"))
    np.testing.assert_array_equal(read_image(path)[:, 0], pattern(2, 20, 20))
