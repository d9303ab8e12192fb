from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.finished import finished_history, finished_metrics, finished_spec
from tests.trainer.html_reader import Page, read_page
from tests.trainer.project import write_png
from unetctl.trainer.history import History
from unetctl.trainer.report_page import report, write_report
from unetctl.trainer.runs import RunFolder


def run_with_pictures(folder: Path, *steps: int) -> RunFolder:
    run = RunFolder(path=folder / "first")
    for step in steps:
        write_png(run.prediction(step), np.full((4, 4, 3), step % 256, np.uint8))
    return run


def read_report(folder: Path, *steps: int) -> Page:
    run = run_with_pictures(folder, *steps)
    run.path.mkdir(exist_ok=True)
    write_report(run, finished_spec(), finished_metrics(), finished_history())
    text = run.report.read_text("utf-8")
    assert not any(one in text for one in ("http:", "https:", "@import", "url("))
    return read_page(text)


def test_the_report_needs_nothing_else(tmp_path: Path) -> None:
    found = read_report(tmp_path, 300, 400)
    assert len(found.references) == 2
    assert all(one.startswith("data:image/png;base64,") for one in found.references)
    assert "script" not in found.tags
    assert "link" not in found.tags


def test_the_report_tells_what_was_trained_on_what_and_how_well(tmp_path: Path) -> None:
    text = " ".join(read_report(tmp_path).text.split())
    for words in (
        "discs, run first",
        "depth 1 with 4 channels",
        "trained on 12 images in 400 steps",
        "0.790mean Dice, test images",
        "Of all pixels of 6 validation images and of 7 test images",
        "3 steps a second of 1 sample",
        "can make 30 samples a second",
        "0.5 µm",
    ):
        assert words in text


def test_settings_that_were_changed_come_before_those_that_were_not(tmp_path: Path) -> None:
    text = read_report(tmp_path).text
    folded = text.index("settings as the default")
    for key in ("[network] depth", "[train] steps", "[train] learning_rate"):
        assert text.index(key) < folded
    for key in ("[train] seed", "[data] kind", "[augment] flips"):
        assert text.index(key) > folded


@pytest.mark.parametrize(("steps", "said"), [((300, 400), 2), ((400,), 1), ((), 0), ((150,), 0)])
def test_the_best_and_the_last_picture_are_shown_where_they_are(
    tmp_path: Path, steps: tuple[int, ...], said: int
) -> None:
    assert len(read_report(tmp_path, *steps).pictures) == said


def test_one_picture_is_enough_where_the_best_step_is_the_last(tmp_path: Path) -> None:
    run = run_with_pictures(tmp_path, 400)
    text = report(run, finished_spec(), finished_metrics() | {"best_step": 400}, finished_history())
    assert len(read_page(text).pictures) == 1


def test_names_with_markup_are_shown_and_not_run(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    names = ("ground", evil)
    metrics = finished_metrics(names) | {"machine": evil, "notices": [evil]}
    metrics["split"]["train"]["names"] = [evil, '"><img src=x onerror=alert(1)>']
    metrics["settings"]["data"]["background"] = evil
    found = read_page(report(RunFolder(path=tmp_path), finished_spec(names), metrics, finished_history(names)))
    assert not {"script", "img", "@onerror"} & set(found.tags)
    assert found.text.count(evil) >= 6


def test_findings_and_notices_are_told(tmp_path: Path) -> None:
    metrics = finished_metrics() | {"notices": ["labels are bytes"], "test": None, "speed": None}
    metrics["split"]["test"]["images"] = 0
    text = read_page(report(RunFolder(path=tmp_path), finished_spec(), metrics, finished_history())).text
    assert "labels are bytes" in text
    assert "the scores flatter" in text
    assert "Dice, test" not in text
    assert "steps a second" not in text


def test_the_shortest_run_and_an_absent_class_are_shown(tmp_path: Path) -> None:
    names = ("ground", "cell")
    history = History(class_names=names)
    history.losses.append((1, 0.7, 0.1))
    history.scores[1] = (0.7, 0.5, 0.5, 0.5, math.nan)
    metrics = finished_metrics() | {"steps": 1, "best_step": 1}
    for part in ("validation", "test"):
        metrics[part]["dice"]["cell"] = metrics[part]["iou"]["cell"] = None
    found = read_page(report(RunFolder(path=tmp_path), finished_spec(), metrics, history))
    assert "\u2013" in found.text
    assert "nan" not in found.text
