"""Benchmarks train by the command that users type, once for each seed, and never mix two recipes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.project_runs import add_training_options, chosen_settings, make_project, merged, toml_text, train_once
from benchmarks.record import grouped, mean_and_spread, table, write_record
from tests.trainer.project import discs, write_png
from unetctl.trainer.config import load_config

TINY = {
    "network": {"depth": 1, "base_channels": 2},
    "train": {"steps": 2, "tile": 32, "validate_every": 2, "border_weight": 0.0},
}
CLASSES = ({"name": "outside", "values": [0]}, {"name": "disc's", "values": [255]})


def arguments_of(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    return parser.parse_args(["folder", *words])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for index in range(3):
        image, instances = discs(index)
        write_png(tmp_path / "images" / f"{index}.png", image)
        write_png(tmp_path / "labels" / f"{index}.png", 255 * (instances > 0).astype("uint8"))
    make_project(tmp_path, TINY, CLASSES)
    return tmp_path


def test_what_is_written_is_what_unetctl_reads(tmp_path: Path) -> None:
    sections = merged(TINY, {"data": {"train": ["0-14"], "images": 'a "b"\\c'}, "augment": {"flips": False}})
    make_project(tmp_path, sections, CLASSES)
    config = load_config(tmp_path / "unetctl.toml")
    assert (config.data.train, config.data.images) == (("0-14",), 'a "b"\\c')
    assert (config.network.base_channels, config.augment.flips) == (2, False)
    assert [(one.name, one.values) for one in config.classes] == [("outside", (0,)), ("disc's", (255,))]


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    make_project(tmp_path, TINY)
    make_project(tmp_path, TINY)  # the same again: it is continued
    with pytest.raises(SystemExit, match="other settings"):
        make_project(tmp_path, merged(TINY, {"train": {"steps": 3}}))
    assert (tmp_path / "unetctl.toml").read_text() == toml_text(TINY)


def test_a_run_is_trained_once_and_told_again(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = train_once(project, seed=3)
    assert "$ unetctl train --run seed3 --seed 3" in capfd.readouterr().out
    assert (first.metrics["seed"], first.metrics["steps"]) == (3, 2)
    assert first.wall_seconds > first.metrics["seconds"] > 0
    assert first.model.exists()
    assert train_once(project, seed=3) == first
    assert "$" not in capfd.readouterr().out


def test_a_run_that_fails_is_not_recorded(project: Path) -> None:
    (project / "labels" / "1.png").unlink()
    with pytest.raises(SystemExit, match="unetctl train ended with"):
        train_once(project, seed=0)
    assert not (project / "seed0.json").exists()


def test_options_become_settings_and_the_last_has_the_word() -> None:
    words = [
        "--base-channels",
        "8",
        "--set",
        "train.tile=64",
        "--set",
        "train.preset=paper",
        "--set",
        "augment.flips=false",
    ]
    settings = chosen_settings(arguments_of(*words, "--set", "train.tile=image"))
    assert settings == {
        "network": {"base_channels": 8},
        "train": {"tile": "image", "preset": "paper"},
        "augment": {"flips": False},
    }
    assert chosen_settings(arguments_of()) == {}


def test_a_setting_without_a_section_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"train\.batch=2"):
        chosen_settings(arguments_of("--set", "tile=3"))


def test_a_record_says_how_it_was_come_by(tmp_path: Path) -> None:
    results: list[dict[str, Any]] = [{"score": float("nan"), "all": (1.0, 2.0)}]
    write_record(
        tmp_path / "new" / "a.json", results=results, settings={"k": 1}, seeds=[0, 1], commands=["unetctl train"]
    )
    record = json.loads((tmp_path / "new" / "a.json").read_text())
    assert record["results"] == [{"score": None, "all": [1.0, 2.0]}]
    assert (record["seeds"], record["commands"], record["settings"]) == ([0, 1], ["unetctl train"], {"k": 1})
    assert record["machine"]["device"]
    assert record["versions"]["torch"]
    assert "T" in record["date"]


def test_tables_are_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert mean_and_spread([0.1]) == "0.1000"
    assert mean_and_spread([0.1, 0.3], 2) == "0.20 ± 0.14"
    runs = [{"n": 3, "x": 1}, {"n": 1, "x": 2}, {"n": 3, "x": 3}]
    assert [(value, [one["x"] for one in group]) for value, group in grouped(runs, "n")] == [(1, [2]), (3, [1, 3])]
