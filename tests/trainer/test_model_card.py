from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.finished import finished_metrics, finished_spec
from unetctl.runtime.spec import Normalisation, Scope
from unetctl.trainer.card_limits import limits
from unetctl.trainer.model_card import card, plain, write_card

HEADINGS = (
    "Model details",
    "Intended use",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Limitations",
    "How to use",
    "Licence",
)


def test_a_card_has_every_part_in_order(tmp_path: Path) -> None:
    write_card(tmp_path / "model-card.md", finished_spec(), finished_metrics())
    text = (tmp_path / "model-card.md").read_text("utf-8")
    assert tuple(re.findall("^## (.+)$", text, re.MULTILINE)) == HEADINGS
    assert "\n\n\n" not in text


def test_a_card_says_what_the_run_knows_and_leaves_the_rest_to_the_owner() -> None:
    text = card(finished_spec(), finished_metrics())
    for words in (
        "Labels every pixel of an image as ground or cell.",
        "1 channel (gray) of uint8; pixel size 0.5 µm",
        "0 = ground, 1 = cell",
        "12 images, 9,800 labelled pixels",
        "ground 92 %, cell 8.2 %",
        "6 validation images and 7 test images",
        "| cell | 0.800 | 0.667 | 0.800 | 0.667 |",
        "a" * 64,
        "unetctl export --model runs/first/model.safetensors --output discs.onnx",
    ):
        assert words in text
    assert text.count("To be filled in by the owner") == 3


def test_a_table_has_as_many_cells_in_every_row() -> None:
    rows = [line for line in card(finished_spec(), finished_metrics()).splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert len({row.count("|") for row in rows}) == 1


def test_names_cannot_change_the_page() -> None:
    names = ("a|b", "<b>*x*</b>\n# heading")
    text = card(finished_spec(names), finished_metrics(names))
    assert "<b>" not in text
    assert "\n# heading" not in text
    assert r"a\|b" in text
    assert plain("a\n b`c`") == r"a b\`c\`"


def test_limits_follow_from_the_run() -> None:
    said = "\n".join(limits(finished_spec(), finished_metrics()))
    assert "seen 12 images" in said
    assert "0.5 µm a pixel; other pixel sizes are untried" in said
    assert "Worst found is the class cell, with a Dice of 0.800 on test images" in said
    for words in ("no test", "smallest class", "others would score otherwise"):
        assert words not in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no test", "There was no test"),
        ("few", "The scores are of 2 images"),
        ("small", "The smallest class, cell, is 1 % of the training pixels"),
        ("absent", "The class cell was not in the test images"),
        ("no size", "The pixel size of the training images is not known"),
        ("own statistics", "normalised by each image's own mean"),
    ],
)
def test_each_limit_is_told_where_it_holds(change: str, words: str) -> None:
    spec, metrics = finished_spec(size_um=None if change == "no size" else 0.5), finished_metrics()
    if change == "no test":
        metrics["test"] = None
    elif change == "few":
        metrics["split"]["test"]["images"] = 2
    elif change == "small":
        metrics["class_pixels"] = [9900, 100]
    elif change == "absent":
        metrics["test"]["dice"]["cell"] = None
    elif change == "own statistics":
        spec = replace(spec, normalisation=Normalisation(scope=Scope.IMAGE))
    assert words in "\n".join(limits(spec, metrics))
