"""The model in the box on the command line: by its name, in every command that takes a model, in any folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Type
from unetctl.cli.main import run
from unetctl.runtime.builtin import BUILTIN_MODELS, builtin_card, builtin_model


@pytest.fixture
def image() -> Path:
    path = Path("cells.tif")
    tifffile.imwrite(path, np.random.default_rng(0).poisson(20, (90, 120)).astype(np.uint8), photometric="minisblack")
    return path


def test_it_segments_by_its_name_outside_of_any_project(unetctl: Type, image: Path) -> None:
    said = unetctl("segment", image, "--model", "nuclei")
    assert said.code == 0, said.err
    assert "model: nuclei (built in)" in said.err
    assert "nucleus" in said.out
    assert tifffile.imread("cells.labels.ome.tif").shape == (90, 120)
    found = json.loads(unetctl("segment", image, "-m", "nuclei", "--json", "--overwrite").out)
    assert found["model"] == str(builtin_model("nuclei"))


def test_the_result_names_it_and_not_where_it_is_installed(unetctl: Type, image: Path) -> None:
    unetctl("segment", image, "--model", "nuclei")
    first = tifffile.imread("cells.labels.ome.tif")
    command = json.loads(unetctl("inspect", "cells.labels.ome.tif", "--json").out)["command"]
    assert command.startswith("unetctl segment cells.tif --model nuclei --engine ")
    Path("cells.labels.ome.tif").unlink()
    assert run(shlex.split(command)[1:]) == 0
    assert np.array_equal(tifffile.imread("cells.labels.ome.tif"), first)


def test_it_says_what_it_is_and_where_its_card_lies(unetctl: Type) -> None:
    said = unetctl("inspect", "nuclei")
    assert said.code == 0, said.err
    assert said.out.startswith("nuclei: a built-in model, ")
    assert "1 = nucleus" in said.out
    assert said.err == "next: unetctl segment your_image.tif --model nuclei\n"
    found = json.loads(unetctl("inspect", "nuclei", "--json").out)
    assert (found["kind"], found["card"], found["command"]) == ("model", str(builtin_card("nuclei")), "")


def test_it_passes_its_check(unetctl: Type) -> None:
    said = unetctl("check", "nuclei")
    assert said.code == 0, said.err
    assert said.out.startswith("nuclei: its golden tiles")


@pytest.mark.parametrize("command", [("segment", "cells.tif", "--model"), ("inspect",), ("check",)])
def test_a_file_of_the_same_name_is_never_guessed(unetctl: Type, image: Path, command: tuple[str, ...]) -> None:
    Path("nuclei").write_bytes(builtin_model("nuclei").read_bytes())
    said = unetctl(*command, "nuclei")
    assert said.code == 2
    assert "./nuclei" in said.err
    assert unetctl(*command, "./nuclei").code == 0


def test_a_folder_of_the_same_name_is_no_model(unetctl: Type, image: Path) -> None:
    Path("nuclei").mkdir()
    assert unetctl("segment", image, "--model", "nuclei").code == 0


@pytest.mark.parametrize("command", [("segment", "cells.tif", "--model"), ("inspect",), ("check",)])
def test_an_unknown_name_is_told_the_built_in_ones(unetctl: Type, image: Path, command: tuple[str, ...]) -> None:
    said = unetctl(*command, "nucleus")
    assert said.code == 66
    assert all(name in said.err for name in BUILTIN_MODELS)
    assert "built in" not in unetctl(*command, "nucleus.onnx").err


def test_without_a_model_outside_of_a_project_it_is_offered(unetctl: Type, image: Path) -> None:
    said = unetctl("segment", image)
    assert said.code == 66
    assert "--model nuclei" in said.err


def test_a_project_can_choose_it(unetctl: Type, image: Path) -> None:
    unetctl("init", ".")
    toml = Path("unetctl.toml")
    toml.write_text(toml.read_text("utf-8").replace("[segment]\n", '[segment]\nmodel = "nuclei"\n'), "utf-8")
    said = unetctl("segment", image)
    assert said.code == 0, said.err
    assert "model: nuclei ([segment] model in unetctl.toml)" in said.err
