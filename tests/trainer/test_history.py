from __future__ import annotations

import math
from pathlib import Path

import pytest

from unetctl.runtime.errors import DataError
from unetctl.trainer.history import History


def filled() -> History:
    history = History(class_names=("a", "b,c"))
    for step in range(1, 5):
        history.losses.append((step, 1 / 3 / step, 0.1))
    history.scores[2] = (0.5, 0.7, 0.1, 0.9, math.nan)
    return history


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    filled().write(tmp_path / "history.csv")
    again = History(class_names=("a", "b,c"))
    again.read(tmp_path / "history.csv", last_step=4)
    assert again.losses == filled().losses
    assert str(again.scores) == str(filled().scores)


def test_steps_after_the_one_continued_from_are_dropped(tmp_path: Path) -> None:
    filled().write(tmp_path / "history.csv")
    again = History(class_names=("a", "b,c"))
    again.read(tmp_path / "history.csv", last_step=1)
    assert [row[0] for row in again.losses] == [1]
    assert not again.scores


@pytest.mark.parametrize("fault", ["missing", "short", "columns", "text"])
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "history.csv"
    filled().write(path)
    text = path.read_text()
    names = ("a", "x") if fault == "columns" else ("a", "b,c")
    if fault == "missing":
        path.unlink()
    elif fault == "text":
        path.write_text(text.replace("0.1", "?"))
    with pytest.raises(DataError, match=r"history\.csv"):
        History(class_names=names).read(path, last_step=5 if fault == "short" else 4)
