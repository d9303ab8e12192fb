"""What a model takes: pixels of its own type, or of 8 bits where each image gives its own scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models import tiny_model
from unetctl.runtime import segment
from unetctl.runtime.errors import DataError
from unetctl.runtime.fit import Widened, fitted
from unetctl.runtime.image import ArraySource
from unetctl.runtime.model import read_model
from unetctl.runtime.plan import Window
from unetctl.runtime.spec import PixelType, Scope

IMAGE = np.random.default_rng(0).integers(0, 255, (2, 150, 170), np.uint8, endpoint=True)


def test_8_bits_are_segmented_as_the_same_values_in_16(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, depth=1, classes=4, scope=Scope.IMAGE, pixel_type=PixelType.UINT16)
    narrow, wide = (segment(one, model) for one in (IMAGE[0], IMAGE[0].astype(np.uint16)))
    assert (narrow == wide).all()
    assert len(np.unique(narrow)) > 1, "a single class would be no test"
    brighter = segment(256 * IMAGE[0].astype(np.uint16), model)
    assert (brighter == wide).mean() > 0.999, "each image gives its own scale"


def test_a_widened_image_has_the_same_values() -> None:
    source = Widened(ArraySource(IMAGE[:, None]))
    assert (source.info.dtype, source.info.planes) == ("uint16", 2)
    window = Window(y0=3, x0=5, y1=40, x1=21)
    out = np.empty((1, *window.shape), np.uint16)
    source.read(1, window, out)
    assert (out[0] == IMAGE[1, 3:40, 5:21]).all()


@pytest.mark.parametrize(
    ("dtype", "scope", "pixel_type"),
    [
        ("uint8", Scope.MODEL, PixelType.UINT16),  # its constants are those of 16 bits
        ("uint16", Scope.MODEL, PixelType.UINT8),
        ("uint16", Scope.IMAGE, PixelType.UINT8),
        ("float32", Scope.IMAGE, PixelType.UINT16),
    ],
)
def test_nothing_else_is_converted(tmp_path: Path, dtype: str, scope: Scope, pixel_type: PixelType) -> None:
    spec = replace(read_model(tiny_model(tmp_path, depth=1, scope=scope)).spec, pixel_type=pixel_type)
    with pytest.raises(DataError, match=f"has {dtype} pixels"):
        fitted(ArraySource(IMAGE.astype(dtype)[0]), spec)


def test_an_image_that_fits_is_left_as_it_is(tmp_path: Path) -> None:
    source = ArraySource(IMAGE[0])
    assert fitted(source, read_model(tiny_model(tmp_path, depth=1)).spec) is source
