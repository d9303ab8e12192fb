import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.reading import pattern
from unetctl.runtime.image import ArraySource
from unetctl.runtime.mirror import mirror_indices, read_mirrored
from unetctl.runtime.plan import Window

SIDE = st.one_of(st.just(1), st.integers(1, 12), st.integers(1, 60))


class CountingSource(ArraySource):
    """Remembers what was read of it."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array)
        self.windows: list[Window] = []

    def read(self, plane: int, window: Window, out: np.ndarray) -> None:
        self.windows.append(window)
        super().read(plane, window, out)


@given(height=SIDE, width=SIDE, y0=st.integers(-70, 70), x0=st.integers(-70, 70), high=SIDE, wide=SIDE)
@settings(max_examples=300, deadline=None)
def test_mirrored_window_equals_numpy_reflect(height: int, width: int, y0: int, x0: int, high: int, wide: int) -> None:
    image = pattern(2, height, width)
    margin = 140
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    source = CountingSource(image)
    out = np.full((2, high, wide), 99, np.uint8)
    read_mirrored(source, 0, Window(y0=y0, x0=x0, y1=y0 + high, x1=x0 + wide), out)
    due = padded[:, margin + y0 : margin + y0 + high, margin + x0 : margin + x0 + wide]
    np.testing.assert_array_equal(out, due)
    assert len(source.windows) == 1, "each pixel is read at most once"


def test_window_inside_the_image_is_read_straight_into_the_output() -> None:
    source = CountingSource(pattern(1, 40, 40))
    window = Window(y0=3, x0=4, y1=33, x1=34)
    read_mirrored(source, 0, window, np.empty((1, 30, 30), np.uint8))
    assert source.windows == [window]


def test_only_the_pixels_that_show_are_read() -> None:
    source = CountingSource(pattern(1, 1000, 1000))
    read_mirrored(source, 0, Window(y0=-20, x0=-20, y1=80, x1=80), np.empty((1, 100, 100), np.uint8))
    read_mirrored(source, 0, Window(y0=-50, x0=500, y1=-30, x1=520), np.empty((1, 20, 20), np.uint8))
    assert source.windows == [Window(y0=0, x0=0, y1=80, x1=80), Window(y0=31, x0=500, y1=51, x1=520)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_image_smaller_than_the_margin_is_mirrored_as_often_as_needed(shape: tuple[int, int]) -> None:
    image = pattern(1, *shape)
    out = np.empty((1, 188 + shape[0], 188 + shape[1]), np.uint8)
    read_mirrored(ArraySource(image), 0, Window(y0=-94, x0=-94, y1=94 + shape[0], x1=94 + shape[1]), out)
    np.testing.assert_array_equal(out, np.pad(image, ((0, 0), (94, 94), (94, 94)), mode="reflect"))


def test_the_border_pixel_is_not_repeated() -> None:
    """The seeded fault: numpy's `symmetric` repeats it, and the comparison must see that."""
    assert mirror_indices(-2, 3, 3).tolist() == [2, 1, 0, 1, 2]
    assert np.pad([0, 1, 2], 2, mode="symmetric")[:5].tolist() != mirror_indices(-2, 3, 3).tolist()
