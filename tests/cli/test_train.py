"""`unetctl train`: settings from the toml and the command line, and what it says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Type
from tests.trainer.project import make_project
from unetctl.cli.project import load_project, newest_checkpoint
from unetctl.trainer.checkpoint import read_spec
from unetctl.trainer.step import Stepper


def test_a_project_is_trained_and_the_scores_are_told(unetctl: Type) -> None:
    make_project(Path())
    said = unetctl("train", "--run", "first", "--steps", "4", "--seed", "7")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "runs/first/model.safetensors"
    for word in (
        "steps",
        "validation",
        "mean Dice",
        "of pixels wrong",
        "runs/first/report.html",
        "runs/first/model-card.md",
    ):
        assert word in " ".join(said.out.split())
    assert said.err.splitlines()[-1] == "next: unetctl export"
    choice = newest_checkpoint(load_project(None))
    training = read_spec(choice.path).training
    assert (training["seed"], training["steps"]) == (7, 4)
    assert json.loads(Path("runs/first/metrics.json").read_text())["steps"] == 4

    again = unetctl("train", "--run", "first")
    assert again.code == 73


def test_other_data_can_be_named(unetctl: Type, tmp_path: Path) -> None:
    make_project(tmp_path / "elsewhere")
    unetctl("init", ".")
    Path("unetctl.toml").write_text((tmp_path / "elsewhere" / "unetctl.toml").read_text())
    assert unetctl("train").code == 66
    said = unetctl("train", "--data", tmp_path / "elsewhere", "--quiet", "--run", "r")
    assert (said.code, said.err) == (0, "")
    assert Path(said.out.strip()).is_file()


def test_an_interrupted_run_tells_how_to_continue(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(Path())
    take = Stepper.take

    def interrupted(stepper: Stepper, step: int, *rest: Any) -> float:
        if step == 5:  # the validation after step 3 has saved what is needed
            raise KeyboardInterrupt
        return take(stepper, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "take", interrupted)
        said = unetctl("train", "--seed", "3", "--run", "r")
    assert said.code == 130
    command = said.err.splitlines()[-1].removeprefix("next: unetctl ")
    assert unetctl(*shlex.split(command)).code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--steps", "0"), 2),
        (("--steps", "many"), 2),
        (("--run", "../x"), 2),
        (("--resume",), 66),
        (("--config", "gone.toml"), 66),
        (("--data", "gone"), 66),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(unetctl: Type, words: tuple[str, ...], code: int) -> None:
    make_project(Path())
    said = unetctl("train", *words)
    assert said.code == code, said.err


def test_a_misspelt_setting_is_named(unetctl: Type) -> None:
    Path("unetctl.toml").write_text("[train]\nstep = 3\n")
    said = unetctl("train")
    assert said.code == 2
    assert "did you mean 'steps'" in said.err
