"""The preview: the image at the left, its classes at the right, whatever the tiles."""

import dataclasses

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes import fake_spec
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.plan import plan_tiles
from unetctl.runtime.preview import GAP_PX, Preview
from unetctl.runtime.spec import ClassInfo


def preview_of(pixels: NDArray[np.uint8], labels: NDArray[np.uint8], area: int) -> NDArray[np.uint8]:
    """Show `[C, H, W]` pixels and `[H, W]` labels to a preview, tile by tile, and decode its picture."""
    classes = (ClassInfo(name="nothing", colour="#0000ff"), ClassInfo(name="cell", colour="#ff0000"))
    spec = dataclasses.replace(fake_spec(channels=pixels.shape[0]), classes=classes, background=0)
    preview = Preview(VirtualSource(*labels.shape, channels=pixels.shape[0]).info, spec)
    for tile in plan_tiles(labels.shape, depth=4, max_area_px=area * 512**2).tiles():
        window = (slice(tile.write.y0, tile.write.y1), slice(tile.write.x0, tile.write.x1))
        preview.see_pixels(0, tile, pixels[(slice(None), *window)])
        preview.see_labels(0, tile, labels[window])
    return np.asarray(imagecodecs.png_decode(preview.to_png()))


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (1030, 2100), (2500, 40), (4100, 4100)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_preview_has_both_halves_and_does_not_depend_on_the_tiles(shape: tuple[int, int], channels: int) -> None:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (channels, *shape), np.uint8)
    labels = draw.integers(0, 2, shape, np.uint8)
    picture = preview_of(pixels, labels, 1)
    width = (picture.shape[1] - GAP_PX) // 2

    assert max(picture.shape[0], width) <= 1024
    assert (picture == preview_of(pixels, labels, 12)).all()


def test_the_background_stays_as_it_is_and_a_class_gets_its_colour() -> None:
    pixels = np.full((1, 100, 100), 100, np.uint8)
    pixels[0, :10] = 200
    labels = np.zeros((100, 100), np.uint8)
    labels[50:, :] = 1
    picture = preview_of(pixels, labels, 1)

    assert (picture[:50, :100] == picture[:50, 100 + GAP_PX :]).all()
    red, green, blue = picture[75, 150 + GAP_PX]
    assert red > green == blue
