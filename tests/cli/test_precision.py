"""`--precision` and `--device`, from the command that makes a model to the one that runs it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Type
from tests.models import tiny_model
from tests.trainer.project import discs, make_project, write_png, write_toml
from unetctl.runtime.engines import choose_engine, engine_status
from unetctl.runtime.model import read_model
from unetctl.runtime.precision import Precision
from unetctl.runtime.segmentation import segment
from unetctl.trainer.checkpoint import load_checkpoint, save_checkpoint, weights_sha256
from unetctl.trainer.network import UNet
from unetctl.trainer.train import train

TOML = """
[network]
depth = 1
base_channels = 8
dropout = 0.0
[train]
steps = 250
tile = 48
validate_every = 50
precision = "fp32"
[data]
validation = ["cell6", "cell7"]
"""
HAS_BF16 = any(Precision.BF16 in one.hints for one in engine_status())


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose network has learned its discs: verdicts on a network that knows nothing say nothing."""
    folder = tmp_path_factory.mktemp("learned")
    make_project(folder, pairs=8)
    assert train(write_toml(folder, TOML), run="first").validation["mean_dice"] > 0.9
    return folder


@pytest.fixture
def project(unetctl: Type, learned: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of it, in which commands are typed."""
    folder = tmp_path / "project"
    shutil.copytree(learned, folder)
    monkeypatch.chdir(folder)
    image, _ = discs(99, 200, 310)
    write_png(folder / "slide.png", image)
    return folder


def unbalanced(network: UNet) -> None:
    """Make one channel of the first block a thousand times as large, and what reads it as much smaller.

    The network computes what it did. In 8 bits that one channel takes the whole range of the tensor, and the others
    become nothing.
    """
    with torch.no_grad():
        first, second = network.down[0][0], network.down[0][2]
        first.weight[0] *= 1000
        first.bias[0] *= 1000
        second.weight[:, 0] /= 1000


def test_a_model_in_8_bits_is_made_judged_and_taken_where_it_is_asked_for(unetctl: Type, project: Path) -> None:
    assert unetctl("segment", "slide.png", "--precision", "int8").code == 66
    exported = unetctl("export", "--precision", "int8")
    assert exported.code == 0, exported.err
    assert "next: unetctl segment your_image.tif --precision int8" in exported.err
    assert "kept in fp32" not in exported.out
    assert unetctl("export").code == 0
    said = unetctl("segment", "slide.png", "--precision", "int8", "--json")
    assert said.code == 0, said.err
    report = json.loads(said.out)
    assert report["precision"] == "int8"
    assert report["model"].endswith(".int8.onnx")
    image = discs(99, 200, 310)[0]
    fp32 = segment(image, next(project.glob("models/*[!8].onnx")), engine="onnxruntime", precision="fp32")
    int8 = segment(image, report["model"], engine="onnxruntime")
    assert fp32.any(), "there must be cells"
    assert (fp32 != int8).mean() < 0.02
    assert unetctl("inspect", report["output"]).out.count("int8") >= 2


def test_layers_that_lose_the_most_are_given_back_and_named(unetctl: Type, project: Path) -> None:
    path = project / "runs" / "first" / "model.safetensors"
    found = load_checkpoint(path)
    unbalanced(found.network)
    spec = replace(found.spec, weights_sha256=weights_sha256(found.network.state_dict()))
    save_checkpoint(path, found.network, spec, found.golden)
    said = unetctl("export", "--precision", "int8")
    assert said.code == 0, said.err
    assert "layers kept in fp32, because they lose the most in 8 bits" in said.out
    model = read_model(next(project.glob("models/*.int8.onnx")))
    kept = model.record.comparison["quantised"]["kept_in_fp32"]
    assert any("down.0.2" in one["layer"] for one in kept), "the one that reads the large channel"
    assert all(one["accepted"] for one in model.record.comparison["verdicts"])


@pytest.mark.skipif(not HAS_BF16, reason="NOT RUN: no engine here computes in bf16")
def test_what_the_export_accepted_is_taken_by_itself_and_fp32_where_it_is_asked_for(
    unetctl: Type, project: Path
) -> None:
    exported = unetctl("export", "--json")
    assert exported.code == 0, exported.err
    verdicts = {one["engine"]: one for one in json.loads(exported.out)["verdicts"]}
    assert verdicts["openvino"]["accepted"], "discs survive bf16"
    assert (verdicts["openvino"]["truth"], verdicts["openvino"]["images"]) == ("labels", "golden, validation")
    said = unetctl("segment", "slide.png")
    assert "bf16: the fastest; at export" in said.err
    said = unetctl("segment", "slide.png", "--precision", "fp32", "--overwrite", "--json")
    assert json.loads(said.out)["precision"] == "fp32"


@pytest.mark.parametrize(
    ("words", "code", "meant"),
    [
        (("--precision", "fp4"), 2, "--precision takes auto"),
        (("--precision", "int8"), 2, "unetctl export --precision int8"),
        (("--engine", "onnxruntime", "--precision", "bf16"), 69, "--precision auto"),
        (("--engine", "onnxruntime", "--device", "GPU"), 2, "--engine openvino"),
        (("--device", "GPU.7"), 69, "leave out --device"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    unetctl: Type, tmp_path: Path, words: tuple[str, ...], code: int, meant: str
) -> None:
    write_png(Path("slide.png"), discs(0)[0])
    said = unetctl("segment", "slide.png", "--model", tiny_model(tmp_path), *words)
    assert said.code == code, said.err
    assert meant in " ".join(said.err.split())
    assert list(Path().iterdir()) == [Path("slide.png")]


def test_the_processor_can_be_named_as_a_device_and_is_tried_first(unetctl: Type, tmp_path: Path) -> None:
    write_png(Path("slide.png"), discs(0)[0])
    model = tiny_model(tmp_path)
    if choose_engine("auto", read_model(model)).name != "openvino":
        pytest.skip("NOT RUN: OpenVINO is not here")
    said = unetctl("segment", "slide.png", "--model", model, "--device", "CPU", "--json")
    assert said.code == 0, said.err
    assert "on CPU" in json.loads(said.out)["engine"]
