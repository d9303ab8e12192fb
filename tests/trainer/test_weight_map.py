from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.trainer.project import discs
from unetctl.trainer.weight_map import MAX_CLASS_WEIGHT, border_weights, class_weights, connected_regions, separate


def brute_force(cells: NDArray[np.integer], weight: float, sigma_px: float) -> NDArray[np.float64]:
    """The formula of the paper, pixel by pixel and cell by cell."""
    numbers = [number for number in np.unique(cells) if number]
    weights = np.zeros(cells.shape)
    places = {number: np.argwhere(cells == number) for number in numbers}
    for pixel in np.argwhere(cells == 0):
        distances = sorted(float(np.sqrt(((places[n] - pixel) ** 2).sum(axis=1)).min()) for n in numbers)
        if len(distances) > 1:
            weights[tuple(pixel)] = weight * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma_px**2))
    return weights


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sigma_px", [1.0, 2.5, 5.0])
def test_it_is_the_papers_formula(seed: int, sigma_px: float) -> None:
    cells = separate(discs(seed, 40, 50)[1])
    found = border_weights(cells, weight=10, sigma_px=sigma_px)
    np.testing.assert_allclose(found, brute_force(cells, 10, sigma_px), atol=5e-5)
    assert found.max() > 1


def test_a_gap_of_one_pixel_has_nearly_the_whole_weight() -> None:
    cells = np.zeros((9, 9), np.int32)
    cells[:, :4], cells[:, 5:] = 1, 2
    found = border_weights(cells, weight=10, sigma_px=5)
    np.testing.assert_allclose(found[:, 4], 10 * np.exp(-4 / 50), rtol=1e-6)
    assert not found[cells > 0].any()


def test_a_cell_alone_and_no_cell_have_no_border() -> None:
    cells = np.zeros((9, 9), np.int32)
    assert not border_weights(cells, weight=10, sigma_px=5).any()
    cells[2:5, 2:5] = 7
    assert not border_weights(cells, weight=10, sigma_px=5).any()


def test_two_hundred_cells_take_less_than_a_second() -> None:
    cells = np.zeros((512, 512), np.int32)
    for number in range(200):
        y, x = divmod(number, 15)
        cells[36 * y + 2 : 36 * y + 30, 34 * x + 2 : 34 * x + 31] = number + 1
    started = time.process_time()
    found = border_weights(cells, weight=10, sigma_px=5)
    assert time.process_time() - started < 1
    assert np.count_nonzero(found) > 50_000


def test_touching_instances_are_separated_and_nothing_else_changes() -> None:
    instances = discs(1)[1]
    cells = separate(instances)
    y, x = np.nonzero(cells)
    padded = np.pad(cells, 1)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            neighbours = padded[y + dy, x + dx]
            assert ((neighbours == 0) | (neighbours == cells[y, x])).all()
    lost = (instances > 0) & (cells == 0)
    near_another = np.zeros(instances.shape, bool)
    wide = np.pad(instances, 1, mode="edge")
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            other = wide[dy : dy + instances.shape[0], dx : dx + instances.shape[1]]
            near_another |= (other != instances) & (other != 0)
    assert lost.any()
    assert not (lost & ~near_another).any()
    assert not (cells[instances == 0]).any()


def test_the_larger_of_two_cells_gives_way() -> None:
    instances = np.array([[0, 5, 5, 5, 5, 9, 0]])
    assert separate(instances).tolist() == [[0, 1, 1, 1, 0, 2, 0]]


def test_separated_cells_stay_as_they_are() -> None:
    instances = np.array([[3, 3, 0, 8, 8, 8]])
    assert separate(instances).tolist() == [[2, 2, 0, 1, 1, 1]]


def test_regions_are_connected_through_sides() -> None:
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    assert connected_regions(mask).tolist() == [[1, 0, 2], [0, 2, 2]]


def test_class_weights_are_inverse_frequencies_of_mean_one() -> None:
    pixels = np.array([300, 100])
    weights = class_weights(pixels)
    np.testing.assert_allclose(weights, [2 / 3, 2.0])
    np.testing.assert_allclose((weights * pixels).sum() / pixels.sum(), 1)


def test_a_class_of_few_pixels_or_none_has_a_bounded_weight() -> None:
    weights = class_weights(np.array([1_000_000, 1, 0]))
    np.testing.assert_allclose(weights, [0.5, MAX_CLASS_WEIGHT, 1.0], rtol=1e-5)
