from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.trainer.project import discs, pair_of
from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.history import History
from unetctl.trainer.pictures import WRONG, draw_losses, draw_predictions
from unetctl.trainer.validate import Prediction

CLASSES = [ClassInfo(name="ground", colour="#000000"), ClassInfo(name="cell", colour="#e69f00")]


def red_pixels(path: Path) -> int:
    picture: NDArray[np.uint8] = imagecodecs.png_decode(path.read_bytes())[..., :3]
    return int((abs(picture.astype(int) - 255 * np.array(WRONG)) < 6).all(axis=2).sum())


@pytest.mark.parametrize("shape", [(72, 60), (600, 40), (1, 1)])
def test_what_is_wrong_is_red_and_nothing_else(tmp_path: Path, shape: tuple[int, int]) -> None:
    image, instances = discs(0, *shape)
    pair = pair_of(np.stack([image] * 3), instances > 0)
    right = Prediction(labels=pair.labels.copy(), loss=0.1)
    wrong = Prediction(labels=1 - pair.labels, loss=9.0)
    draw_predictions(tmp_path / "right.png", [pair], [right], CLASSES, "right")
    draw_predictions(tmp_path / "wrong.png", [pair], [wrong], CLASSES, "wrong")
    assert red_pixels(tmp_path / "right.png") == 0
    assert red_pixels(tmp_path / "wrong.png") > 100


@pytest.mark.parametrize("steps", [1, 200])
def test_losses_of_any_length_and_of_absent_classes_are_drawn(tmp_path: Path, steps: int) -> None:
    history = History(class_names=("ground", "cell"))
    history.losses += [(step, 1 / step, 0.1) for step in range(1, steps + 1)]
    history.scores[steps] = (0.5, 0.7, 0.1, 0.9, np.nan)
    draw_losses(tmp_path / "losses.png", history, CLASSES, steps)
    picture = imagecodecs.png_decode((tmp_path / "losses.png").read_bytes())
    assert min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20
