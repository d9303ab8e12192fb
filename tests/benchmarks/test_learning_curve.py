"""The two curves on membranes: which slices are learned from, how many steps fit, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import pytest

from benchmarks.learning_curve import SHOWN, curve_table, spread_evenly
from benchmarks.membrane_data import TRAIN, membrane_sections
from benchmarks.minutes import Speed, minutes_table
from benchmarks.plots import draw_curve


@pytest.mark.parametrize(
    ("count", "slices"),
    [(1, (7,)), (3, (2, 7, 12)), (6, (1, 3, 6, 8, 11, 13)), (15, tuple(range(15)))],
)
def test_slices_are_spread_evenly_over_those_of_training(count: int, slices: tuple[int, ...]) -> None:
    assert spread_evenly(count) == slices


def test_every_number_of_slices_gives_so_many_and_none_of_another_part() -> None:
    for count in range(1, len(TRAIN) + 1):
        chosen = spread_evenly(count)
        assert len(set(chosen)) == count
        assert set(chosen) <= set(TRAIN)
    with pytest.raises(SystemExit, match="there are 15"):
        spread_evenly(16)


def test_only_what_is_trained_on_differs_from_project_to_project(tmp_path: Path) -> None:
    one, six = (membrane_sections(tmp_path, spread_evenly(count)) for count in (1, 6))
    assert one["data"].pop("train") == ["7"]
    assert six["data"].pop("train") == ["1", "3", "6", "8", "11", "13"]
    assert one == six
    assert one["data"]["validation"] == ["15-17"]


def run_of(slices: int, seed: int, error: float) -> dict[str, object]:
    scores = {key: {"threshold": 0.5, "validation": error, "test": error} for key in (*SHOWN, "pixel_error_arg_max")}
    return {"slices": slices, "trained_on": list(range(slices)), "seed": seed, "steps": 9, "scores": scores}


def test_the_table_has_a_row_for_each_number_of_slices() -> None:
    lines = curve_table([run_of(3, 0, 0.2), run_of(1, 0, 0.3), run_of(3, 1, 0.4)]).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| 1 | 0 | 0.3000 |")
    assert lines[3].startswith("| 3 | 0, 1, 2 | 0.3000 ± 0.1414 |")


def test_a_budget_ends_with_its_steps() -> None:
    speed = Speed(seconds_a_step=0.5, seconds_around=20)
    assert speed.steps_in(1) == 80
    assert speed.steps_in(60) == 7160
    assert 0.5 * speed.steps_in(5) + 20 <= 300
    with pytest.raises(SystemExit, match="too few are left"):
        speed.steps_in(0.35)


def test_the_table_tells_the_time_that_it_took_and_not_the_planned() -> None:
    run = {**run_of(15, 0, 0.08), "minutes_planned": 5.0, "wall_seconds": 363.4}
    assert "| 5 | 6:03 | 9 | 0 | 0.0800 | 0.0800 |" in minutes_table([run])


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    curves = {"one": [[(1.0, 0.2), (1.0, 0.3)], [(15.0, 0.1)]], "two": [[(2.0, 0.2)], [(3.0, 0.1)]]}
    draw_curve(picture, curves, title="a title", x_name="x", y_name="y", levels={"the paper": 0.06})
    pixels = imagecodecs.imread(picture)
    assert pixels.shape[:2] == (572, 936)
    assert pixels[..., :3].std() > 10
