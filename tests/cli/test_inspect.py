"""`unetctl inspect` and `unetctl check`: what a file is and whether it is computed rightly here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Type
from tests.models import tiny_checkpoint, tiny_golden, tiny_model, tiny_network, tiny_spec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tiny_model(tmp_path / "models")


def test_a_model_says_what_it_is(unetctl: Type, model: Path) -> None:
    said = unetctl("inspect", model)
    assert said.code == 0, said.err
    for word in ("a model", "depth 2", "1 channel (gray), uint8", "0 = class 0", "compared", "logits differ", "sha256"):
        assert word in said.out
    assert "made by: unetctl export" in said.out
    assert said.err.startswith("next: unetctl check ")
    found = json.loads(unetctl("inspect", model, "--json").out)
    assert set(found) == {"path", "kind", "command", "spec", "record", "golden_tiles", "sha256"}
    assert found["kind"] == "model"


def test_a_checkpoint_says_what_it_is(unetctl: Type, model: Path) -> None:
    checkpoint = model.with_suffix(".safetensors")
    said = unetctl("inspect", checkpoint)
    assert "a checkpoint" in said.out
    assert "made by: unetctl train" in said.out
    assert said.err.startswith("next: unetctl export --model ")
    found = json.loads(unetctl("inspect", checkpoint, "--json").out)
    assert set(found) == {"path", "kind", "command", "spec"}


def test_an_image_says_what_it_is(unetctl: Type) -> None:
    tifffile.imwrite("stack.tif", np.zeros((5, 32, 48), np.uint16), photometric="minisblack")
    said = unetctl("inspect", "stack.tif")
    assert "an image (TIFF)" in said.out
    assert "48 x 32 px" in said.out
    assert "uint16" in said.out
    assert said.err == "next: unetctl segment stack.tif\n"
    found = json.loads(unetctl("inspect", "stack.tif", "--json").out)
    assert found["kind"] == "image"
    assert found["image"]["width"] == 48


def test_a_result_names_its_model_and_its_command(unetctl: Type, model: Path) -> None:
    tifffile.imwrite("slide.tif", np.zeros((32, 48), np.uint8), photometric="minisblack")
    unetctl("segment", "slide.tif", "--model", model)
    said = unetctl("inspect", "slide.labels.ome.tif")
    weights = json.loads(unetctl("inspect", model, "--json").out)["spec"]["weights_sha256"]
    assert "a label image that unetctl made" in said.out
    assert weights in said.out
    assert "made by: unetctl segment slide.tif --model model.onnx" in said.out
    found = json.loads(unetctl("inspect", "slide.labels.ome.tif", "--json").out)
    assert found["kind"] == "result"
    assert found["result"]["model"]["weights_sha256"] == weights


@pytest.mark.parametrize(
    ("content", "code"), [(b"", 65), (b"hello", 65), (b"\x80\x02abcdefghij", 65), (b"II*\0", 65), (b"\x08\x07", 65)]
)
@pytest.mark.parametrize("name", ["x.onnx", "x.tif", "x.safetensors", "x"])
def test_what_is_nothing_of_ours_is_refused(unetctl: Type, name: str, content: bytes, code: int) -> None:
    Path(name).write_bytes(content)
    said = unetctl("inspect", name)
    assert said.code == code, said.err
    assert said.err.startswith("error: ")


def test_a_folder_and_a_pipe_are_no_files(unetctl: Type) -> None:
    assert unetctl("inspect", ".").code == 66
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
        assert unetctl("inspect", "pipe").code == 66
        assert unetctl("segment", "x.tif", "--model", "pipe").code == 66


def test_a_good_model_passes_on_every_engine(unetctl: Type, model: Path) -> None:
    said = unetctl("check", model)
    assert said.code == 0, said.err
    assert "onnxruntime" in said.out
    assert "passed" in said.out
    found = json.loads(unetctl("check", model, "--json").out)
    assert set(found) == {"path", "passed", "engines", "absent"}
    assert found["passed"]
    assert unetctl("check", model.with_suffix(".safetensors")).code == 0


def test_a_model_that_gives_other_labels_fails(unetctl: Type, tmp_path: Path) -> None:
    network, other = tiny_network(seed=0), tiny_network(seed=1)
    path = tmp_path / "wrong.safetensors"
    tiny_checkpoint(path, network, tiny_spec(network), tiny_golden(other, tiny_spec(other)))
    said = unetctl("check", path)
    assert said.code == 1
    assert "FAILED" in said.out
    assert said.err.startswith("error: ")
    found = json.loads(unetctl("check", path, "--json").out)
    assert not found["passed"]
