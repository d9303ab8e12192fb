"""`unetctl export`: which checkpoint, where to, and what it says of the comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.averaged import averaged_checkpoint, traced_before
from tests.cli.conftest import Type
from tests.models import tiny_checkpoint, tiny_network, tiny_spec
from tests.trainer.project import discs, write_png
from unetctl.runtime.model import read_model


@pytest.fixture
def project(unetctl: Type) -> None:
    """A complete run, in a project that holds one of its validation images."""
    unetctl("init", ".")
    image, instances = discs(0)
    write_png(Path("data/images/cell.png"), image)
    write_png(Path("data/labels/cell.png"), instances)
    network = tiny_network(depth=1, base_channels=2)
    training = {"run": "first", "split": {"validation": {"images": 1, "names": ["cell"]}}}
    Path("runs/first").mkdir(parents=True)
    spec = replace(tiny_spec(network), training=training)
    tiny_checkpoint(Path("runs/first/model.safetensors"), network, spec)


@pytest.mark.usefixtures("project")
def test_a_checkpoint_becomes_a_model_that_was_compared(unetctl: Type) -> None:
    said = unetctl("export")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "models/tiny.onnx"
    assert "2 golden" in said.out
    assert "1 validation" in said.out
    assert "checkpoint: runs/first/model.safetensors (trained 2026-01-01" in said.err
    assert said.err.splitlines()[-1] == "next: unetctl segment your_image.tif"
    assert read_model("models/tiny.onnx").record.outputs == ("labels",)

    again = unetctl("export")
    assert again.code == 73
    assert "--overwrite" in again.err
    assert "from the same checkpoint" in again.err


def test_outside_a_project_the_model_goes_beside_the_checkpoint(unetctl: Type, tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2)
    path = tiny_checkpoint(tmp_path / "m.safetensors", network, tiny_spec(network))
    said = unetctl("export", "--model", path, "--outputs", "labels,probabilities", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert set(found) == {"path", "checkpoint", "record", "rows", "verdicts"}
    assert found["path"] == str(tmp_path / "tiny.onnx")
    assert found["record"]["outputs"] == ["labels", "probabilities"]
    assert all(row["passed"] for row in found["rows"])
    assert (tmp_path / "tiny.onnx").is_file()


def test_a_model_that_averages_stands_beside_the_one_that_does_not_and_says_so(
    unetctl: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unetctl.exporter.export.to_onnx", traced_before)
    unetctl("init", ".")
    Path("runs/first").mkdir(parents=True)
    averaged_checkpoint(Path("runs/first/model.safetensors"))
    said = unetctl("export", "--tta", "--outputs", "labels,probabilities")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "models/tiny.tta.onnx"
    assert "8 symmetric versions of each tile" in said.out
    assert read_model("models/tiny.tta.onnx").record.averaging == 8
    assert unetctl("export", "--tta").code == 73
    assert unetctl("check", "models/tiny.tta.onnx").code == 0

    told = unetctl("inspect", "models/tiny.tta.onnx").out
    assert "8 symmetric versions of each tile" in told
    assert "--outputs labels,probabilities --tta" in told

    write_png(Path("cell.png"), discs(0)[0])
    segmented = unetctl("segment", "cell.png", "--max-memory", "2GiB")
    assert segmented.code == 0, segmented.err
    assert "model: models/tiny.tta.onnx" in segmented.err
    assert "averages: 8 symmetric versions" in segmented.err
    assert "8 symmetric versions" in unetctl("inspect", "cell.labels.ome.tif").out


def test_outside_a_project_a_checkpoint_must_be_named(unetctl: Type) -> None:
    said = unetctl("export")
    assert (said.code, "--model" in said.err) == (66, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--outputs", "label"), 2),
        (("--model", "gone.safetensors"), 66),
        (("--model", "bad.safetensors"), 65),
        (("--model", "x.pt"), 77),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(unetctl: Type, words: tuple[str, ...], code: int) -> None:
    Path("bad.safetensors").write_bytes(b"no checkpoint")
    Path("x.pt").write_bytes(b"PK\x03\x04")
    said = unetctl("export", *words)
    assert said.code == code, said.err
