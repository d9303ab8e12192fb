"""`unetctl export --trt` and `--trt-rtx`: engines where they can be built; elsewhere a model, and what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Said, Type
from tests.models import tiny_checkpoint, tiny_model, tiny_network, tiny_spec
from tests.runtime.engines_made import model_at
from tests.runtime.fake_builder import GPU, FakeBuilder
from tests.runtime.tensorrt_names import common_names
from unetctl.cli import export_trt
from unetctl.runtime import cuda, tensorrt_library
from unetctl.runtime.engine_file import read_engine_file
from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.model import read_model
from unetctl.runtime.tensorrt_library import TensorRtLibrary


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cuda, "device_count", lambda: 0)


@pytest.fixture
def model(unetctl: Type) -> Path:
    """An exported model in the current folder."""
    return tiny_model(Path()).rename("cells.onnx")


def engines(folder: Path = Path()) -> list[Path]:
    return sorted(folder.glob("*.engine"))


def test_without_a_gpu_the_model_is_made_and_what_is_missing_is_said(unetctl: Type) -> None:
    network = tiny_network(depth=1, base_channels=2)
    tiny_checkpoint(Path("m.safetensors"), network, tiny_spec(network))
    said = unetctl("export", "--model", "m.safetensors", "--trt")
    assert said.code == 69
    assert said.out.splitlines()[0] == "tiny.onnx"
    assert read_model("tiny.onnx").golden
    assert "NVIDIA GPU" in said.err
    assert "saved: the ONNX model tiny.onnx is complete" in said.err
    assert "--trt-rtx" in said.err
    assert not engines()

    again = unetctl("export", "--model", "m.safetensors", "--trt")
    assert again.code == 73
    assert "unetctl export --model tiny.onnx --trt" in again.err


def test_a_script_is_told_of_the_model_and_of_what_is_missing(unetctl: Type, model: Path) -> None:
    said = unetctl("export", "--model", model, "--trt", "--json")
    assert json.loads(said.out) == {"path": "cells.onnx", "engines": []}
    assert json.loads(said.err)["code"] == said.code == 69


@pytest.mark.parametrize(("option", "name"), [("--trt", "tensorrt"), ("--trt-rtx", "tensorrt-rtx")])
def test_a_missing_library_is_said_with_the_line_that_installs_it(
    unetctl: Type, model: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "device", lambda: GPU)
    said = unetctl("export", "--model", model, option)
    assert said.code == 69
    assert f"{name} is not installed" in said.err
    assert f'pip install "unetctl[{option.removeprefix("--")}]"' in said.err


def test_engines_for_rtx_cards_are_built_without_a_gpu(unetctl: Type, model: Path, rtx: TensorRtLibrary) -> None:
    said = unetctl("export", "--model", model, "--trt-rtx", "--tile", "512,1024", "--compute-capability", "8.6,120")
    assert said.code == 0, said.err
    large, small = (read_engine_file(path) for path in engines())
    assert (small.record.kept_yx, large.record.kept_yx) == ((512, 512), (1024, 1024))
    assert small.record.compute_capabilities == (86, 120)
    assert small.record.onnx_sha256 == read_model(model).sha256
    assert f"by tensorrt-rtx {rtx.version}, fp32" in said.out
    assert "GPUs of compute capability 8.6, 12.0" in said.out
    assert "not yet: no GPU was there" in said.out
    assert "critical applications, medical ones among them" in " ".join(said.err.split())
    assert said.err.splitlines()[-1].endswith(f"unetctl check {small.path} --trust-engine")

    made_by = "--trt-rtx --tile 512 --compute-capability 86,120"
    assert made_by in " ".join(unetctl("inspect", small.path).out.split())

    again = unetctl("export", "--model", model, "--trt-rtx", "--tile", "1024", "--compute-capability", "86,120")
    assert again.code == 73
    assert large.path.name in again.err
    plan = large.path.read_bytes()
    options = ("--tile", "1024", "--compute-capability", "86,120", "--overwrite", "--quiet")
    third = unetctl("export", "--model", model, "--trt-rtx", *options)
    assert (third.code, third.out, third.err) == (0, f"{large.path}\n", "")
    assert large.path.read_bytes() == plan


def test_a_script_is_told_all_of_an_engine_but_what_the_model_says(
    unetctl: Type, model: Path, rtx: TensorRtLibrary
) -> None:
    said = unetctl("export", "--model", model, "--trt-rtx", "--tile", "512", "--json")
    assert (said.code, said.err) == (0, "")
    (engine,) = json.loads(said.out)["engines"]
    assert Path(engine["path"]) == engines()[0]
    assert (engine["kind"], engine["library_version"]) == ("tensorrt-rtx", rtx.version)
    assert engine["acceptance"] == {}
    assert not {"spec", "export", "golden"} & engine.keys()


def test_neither_torch_nor_onnx_is_needed_to_build_from_a_model(
    unetctl: Type, model: Path, rtx: TensorRtLibrary
) -> None:
    program = (
        "import sys; sys.modules.update(torch=None, onnx=None, onnxruntime=None, safetensors=None)\n"
        "from unetctl.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    words = ("export", "--model", str(model), "--trt-rtx", "--tile", "512")
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(engines()) == 1


def test_an_engine_of_a_built_in_model_goes_into_the_users_own_folder(
    unetctl: Type, tmp_path: Path, rtx: TensorRtLibrary
) -> None:
    said = unetctl("export", "--model", "nuclei", "--trt-rtx", "--tile", "512")
    assert said.code == 0, said.err
    assert len(engines(tmp_path / "cache" / "unetctl" / "engines")) == 1


def with_fake_gpu(monkeypatch: pytest.MonkeyPatch) -> FakeBuilder:
    fake = FakeBuilder(common_names(), accepts=(True,) * 9, labels=(1, 516, 516))
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "device", lambda: GPU)
    monkeypatch.setattr(tensorrt_library, "load_tensorrt", lambda _: fake.library)
    monkeypatch.setattr("unetctl.runtime.model.read_model", lambda path: model_at(Path(path)))
    return fake


def test_with_a_gpu_an_engine_is_tried_and_published(
    unetctl: Type, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fake_gpu(monkeypatch)
    figures = {"tiles": 2, "pixels": 400, "flips": 3, "passed": True}
    monkeypatch.setattr(export_trt, "_accept", lambda index, engine: figures)
    said: Said = unetctl("export", "--model", model, "--trt", "--tile", "512")
    assert said.code == 0, said.err
    assert "which takes minutes" in said.err
    assert "NVIDIA Test 1, and on no other GPU" in said.out
    assert "2 golden tiles: 3 of 400 labels are not PyTorch's, within rounding" in " ".join(said.out.split())
    assert said.err.splitlines()[-1] == "next: unetctl segment your_image.tif --model cells.onnx --engine tensorrt"
    assert read_engine_file(engines()[0]).record.acceptance == figures


def test_an_engine_that_gives_other_labels_is_not_published(
    unetctl: Type, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fake_gpu(monkeypatch)

    def refuse(index: int, engine: object) -> None:
        raise CheckFailedError("other labels")

    monkeypatch.setattr(export_trt, "_accept", refuse)
    assert unetctl("export", "--model", model, "--trt", "--tile", "512").code == 1
    assert not engines()


@pytest.mark.parametrize(
    "words",
    [
        ("--trt", "--trt-rtx"),
        ("--tile", "512"),
        ("--compute-capability", "86"),
        ("--trt", "--compute-capability", "86"),
        ("--trt-rtx", "--tile", "0"),
        ("--trt-rtx", "--tile", "512,512"),
        ("--trt-rtx", "--tile", "512x512"),
        ("--trt-rtx", "--tile", "768"),
        ("--trt-rtx", "--compute-capability", "ada"),
        ("--trt-rtx", "--output", "x.onnx"),
        ("--trt-rtx", "--tta"),
        ("--trt-rtx", "--precision", "fp16"),
        ("--precision", "fp4"),
    ],
)
def test_options_that_cannot_be_together_are_refused_before_anything(
    unetctl: Type, model: Path, words: tuple[str, ...]
) -> None:
    said = unetctl("export", "--model", model, *words)
    assert said.code == 2, said.err
    assert not engines()


def test_a_tile_that_no_image_would_be_cut_into_is_refused(unetctl: Type, model: Path) -> None:
    refused = unetctl("export", "--model", model, "--trt-rtx", "--tile", "512,768")
    assert refused.code == 2
    assert "multiples of 512 px" in refused.err
