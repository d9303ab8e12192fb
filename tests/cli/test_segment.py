"""`unetctl segment`: paths, models, engines, and what it says of a run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Type
from tests.models import tiny_model
from unetctl.cli.main import run
from unetctl.cli.results import result_path
from unetctl.runtime.engines import choose_engine

REPORT_KEYS = {
    *(
        "model",
        "tuned",
        "image",
        "output",
        "preview",
        "image_yx",
        "planes",
        "tiles",
        "read_shapes",
        "engine",
        "precision",
    ),
    *("seconds", "engine_share", "mpx_per_second", "peak_memory_bytes", "max_memory_bytes", "class_pixels"),
    *("blank", "profile", "continued", "notices"),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tiny_model(tmp_path / "models")


def write_image(name: str, shape: tuple[int, ...] = (40, 56), dtype: str = "uint8") -> Path:
    path = Path(name)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    tifffile.imwrite(path, pixels, photometric="rgb" if shape[-1] == 3 else "minisblack")
    return path


def test_an_image_gets_labels_a_picture_and_a_report(unetctl: Type, model: Path) -> None:
    image = write_image("slide.tif")
    said = unetctl("segment", image, "--model", model)
    assert said.code == 0, said.err
    assert tifffile.imread("slide.labels.ome.tif").shape == (40, 56)
    assert imagecodecs.imread("slide.labels.preview.png").ndim == 3
    assert said.out.splitlines()[0] == "slide.labels.ome.tif"
    for word in ("56 x 40 px", "Mpx/s", "allowed", "the network waited", "class 0", "slide.labels.preview.png"):
        assert word in said.out
    assert said.err.splitlines()[-1] == "next: unetctl inspect slide.labels.ome.tif"
    assert f"engine: {choose_engine('auto').name}" in said.err


def test_the_report_is_json_for_scripts(unetctl: Type, model: Path) -> None:
    said = unetctl("segment", write_image("slide.tif"), "--model", model, "--json", "--no-preview")
    found = json.loads(said.out)
    assert set(found) == REPORT_KEYS
    assert found["preview"] is None
    assert sum(found["class_pixels"].values()) == 40 * 56
    assert said.err == ""


def test_a_profile_says_what_each_stage_waited_for(unetctl: Type, model: Path) -> None:
    said = unetctl("segment", write_image("slide.tif"), "--model", model, "--profile")
    assert said.code == 0, said.err
    rows = [line.split()[0] for line in said.out.splitlines() if line]
    assert rows[rows.index("stage") :][1:5] == ["read", "network", "write", "finish"]
    for word in ("for input, s", "for output, s", "at work", "start-up apart", "slide.labels.trace.json"):
        assert word in said.out
    again = unetctl("segment", *sorted(map(str, Path().iterdir())), "--model", model, "--overwrite")
    assert "left out: slide.labels.trace.json is a result of unetctl" in again.err
    found = json.loads(unetctl("segment", "slide.tif", "--model", model, "--overwrite", "--profile", "--json").out)
    assert [one["stage"] for one in found["profile"]["stages"]] == ["read", "network", "write", "finish"]


def test_blank_tiles_are_left_out_with_a_label_that_was_named(unetctl: Type, model: Path) -> None:
    tifffile.imwrite("slide.tif", np.full((700, 600), 9, np.uint8))
    unnamed = unetctl("segment", "slide.tif", "--model", model, "--skip-blank")
    assert unnamed.code == 2
    assert "names no class that means background" in unnamed.err
    assert "--blank-label NAME, with one of its classes: class 0, class 1" in unnamed.err
    assert unetctl("segment", "slide.tif", "--model", model, "--skip-blank", "--blank-label", "sky").code == 2
    assert unetctl("segment", "slide.tif", "--model", model, "--blank-label", "class 1").code == 2
    assert not list(Path().glob("*.labels.*"))

    words = ("segment", "slide.tif", "--model", model, "--skip-blank", "--blank-label", "class 1")
    said = unetctl(*words)
    assert said.code == 0, said.err
    assert "1 blank tile, 420 kpx, 100 % of the image, labelled class 1" in " ".join(said.out.split())
    assert (tifffile.imread("slide.labels.ome.tif") == 1).all()
    command = json.loads(unetctl("inspect", "slide.labels.ome.tif", "--json").out)["command"]
    assert "--skip-blank --blank-label 'class 1'" in command
    assert "100 % of the image, as blank, labelled class 1" in unetctl("inspect", "slide.labels.ome.tif").out
    found = json.loads(unetctl(*words, "--overwrite", "--json").out)["blank"]
    assert found == {"label": "class 1", "tiles": 1, "pixels": 420_000, "share": 1.0}
    assert unetctl(*words, "--plan").code == 0


def test_quiet_prints_the_result_and_nothing_else(unetctl: Type, model: Path) -> None:
    said = unetctl("segment", write_image("slide.tif"), "--model", model, "--quiet")
    assert (said.out, said.err) == ("slide.labels.ome.tif\n", "")


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("a.tif", "a.labels.ome.tif"),
        ("a.b.ome.tif", "a.b.labels.ome.tif"),
        ("a.OME.TIFF", "a.labels.ome.tif"),
        ("a", "a.labels.ome.tif"),
        ("x/.tif", "x/.tif.labels.ome.tif"),
    ],
)
def test_labels_go_beside_the_image(image: str, labels: str) -> None:
    assert result_path(Path(image)) == Path(labels)


def test_an_existing_result_is_kept_unless_told_otherwise(unetctl: Type, model: Path) -> None:
    image = write_image("slide.tif")
    unetctl("segment", image, "--model", model)
    before = Path("slide.labels.ome.tif").read_bytes()
    said = unetctl("segment", image, "--model", model)
    assert said.code == 73
    assert "--overwrite" in said.err
    assert "made by model tiny" in said.err
    assert Path("slide.labels.ome.tif").read_bytes() == before
    assert unetctl("segment", image, "--model", model, "--overwrite").code == 0


def test_results_are_never_segmented(unetctl: Type, model: Path) -> None:
    write_image("slide.tif")
    unetctl("segment", "slide.tif", "--model", model)
    for name in ("slide.labels.ome.tif", "slide.labels.preview.png"):
        alone = unetctl("segment", name, "--model", model)
        assert alone.code == 2
        assert "unetctl inspect" in alone.err
    globbed = unetctl("segment", *sorted(map(str, Path().iterdir())), "--model", model, "--overwrite")
    assert globbed.code == 0, globbed.err
    assert globbed.err.count("left out: ") == 2
    assert len(list(Path().iterdir())) == 3


def test_one_bad_image_does_not_stop_the_others(unetctl: Type, model: Path) -> None:
    Path("bad.tif").write_bytes(b"no image")
    said = unetctl("segment", write_image("a.tif"), "bad.tif", "gone.tif", write_image("b.tif"), "--model", model)
    assert said.code == 65
    assert said.err.count("error: ") == 2
    assert "2 images of 4 segmented, 2 failed" in said.err
    assert [line.split()[0] for line in said.out.splitlines()] == ["a.labels.ome.tif", "b.labels.ome.tif"]


def test_several_images_are_a_list_for_scripts(unetctl: Type, model: Path) -> None:
    said = unetctl("segment", write_image("a.tif"), "gone.tif", "--model", model, "--json")
    assert said.code == 66
    assert [one["image"] for one in json.loads(said.out)] == ["a.tif"]
    assert json.loads(said.err)["code"] == 66


def test_one_output_cannot_take_several_images(unetctl: Type, model: Path) -> None:
    assert unetctl("segment", "a.tif", "b.tif", "--output", "x.ome.tif", "--model", model).code == 2


def test_an_output_can_be_named(unetctl: Type, model: Path) -> None:
    Path("out").mkdir()
    said = unetctl("segment", write_image("a.tif"), "--output", "out/x.ome.tif", "--model", model)
    assert said.code == 0
    assert Path("out/x.ome.tif").is_file()
    assert Path("out/x.preview.png").is_file()


def test_an_image_is_never_its_own_output(unetctl: Type, model: Path) -> None:
    image = write_image("a.tif")
    before = image.read_bytes()
    assert unetctl("segment", image, "--output", image, "--overwrite", "--model", model).code == 2
    assert image.read_bytes() == before


def test_the_command_in_a_result_makes_it_again(unetctl: Type, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    image = write_image("two words.tif", (3, 40, 56))
    said = unetctl("segment", image, "--model", model, "--channels", "1", "--threads", "1", "--device", "CPU", "--json")
    assert said.code == 0, said.err
    first = tifffile.imread("two words.labels.ome.tif")
    command = json.loads(unetctl("inspect", "two words.labels.ome.tif", "--json").out)["command"]
    assert str(model.parent) not in command
    assert "--threads 1 --device CPU" in command
    Path("two words.labels.ome.tif").unlink()
    assert run(shlex.split(command)[1:]) == 0
    assert np.array_equal(tifffile.imread("two words.labels.ome.tif"), first)


@pytest.mark.parametrize("name", ["it's.tif", 'a"b.tif', "\U0001f52c \u00e9.tif", "-x.tif", "%00.tif", "a\nb.tif"])
def test_any_name_can_be_segmented(unetctl: Type, model: Path, name: str) -> None:
    write_image(name)
    said = unetctl("segment", "--model", model, "--", name)
    assert said.code == 0, said.err
    assert Path(name.removesuffix(".tif") + ".labels.ome.tif").is_file()


def test_a_checkpoint_runs_on_torch(unetctl: Type, model: Path) -> None:
    checkpoint = model.with_suffix(".safetensors")
    image = write_image("slide.tif")
    said = unetctl("segment", image, "--model", checkpoint)
    assert said.code == 0, said.err
    assert "engine: torch" in said.err
    by_torch = tifffile.imread("slide.labels.ome.tif")
    unetctl("segment", image, "--model", model, "--overwrite")
    assert np.mean(by_torch != tifffile.imread("slide.labels.ome.tif")) < 0.001


def test_a_checkpoint_runs_in_bf16_where_that_was_asked_for_and_its_golden_tiles_pass(
    unetctl: Type, model: Path
) -> None:
    checkpoint, image = model.with_suffix(".safetensors"), write_image("slide.tif")
    said = unetctl("segment", image, "--model", checkpoint, "--precision", "bf16", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["precision"] == "bf16"
    refused = unetctl("segment", image, "--model", checkpoint, "--precision", "int8", "--overwrite")
    assert (refused.code, "unetctl export --precision int8" in refused.err) == (2, True)


def test_an_engine_that_cannot_run_the_file_says_which_can(unetctl: Type, model: Path) -> None:
    image = write_image("slide.tif")
    said = unetctl("segment", image, "--model", model, "--engine", "torch")
    assert (said.code, "model.safetensors" in said.err) == (2, True)
    checkpoint = model.with_suffix(".safetensors")
    said = unetctl("segment", image, "--model", checkpoint, "--engine", "onnxruntime")
    assert (said.code, "unetctl export --model" in said.err) == (2, True)
    assert unetctl("segment", image, "--model", model, "--engine", "warp").code == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("gone.tif",), 66),
        ((".",), 2),
        (("slide.tif", "--max-memory", "1MiB"), 75),
        (("slide.tif", "--max-memory", "lots"), 2),
        (("slide.tif", "--channels", "0"), 2),
        (("slide.tif", "--channels", "9"), 2),
        (("slide.tif", "--series", "-1"), 2),
        (("slide.tif", "--level", "7"), 2),
        (("slide.tif", "--threads", "0"), 2),
        (("slide.tif", "--output", "gone/x.ome.tif"), 66),
        (("slide.tif", "--model", "gone.onnx"), 66),
        (("slide.tif", "--model", "slide.tif"), 65),
        (("colour.tif",), 65),
        ((), 2),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(unetctl: Type, model: Path, words: tuple[str, ...], code: int) -> None:
    write_image("slide.tif")
    write_image("colour.tif", (40, 56, 3))
    said = unetctl("segment", *(() if "--model" in words else ("--model", model)), *words)
    assert said.code == code, said.err
    assert said.err.splitlines()[-1].startswith(("error: ", "  try: ", "  cause: "))
    assert not list(Path().glob("*.labels.*"))
    assert not list(Path().glob(".*.run"))


def test_outside_a_project_a_model_must_be_named(unetctl: Type) -> None:
    said = unetctl("segment", write_image("slide.tif"))
    assert said.code == 66
    assert "--model" in said.err


def test_in_a_project_the_newest_export_is_taken(unetctl: Type, model: Path) -> None:
    unetctl("init", ".")
    said = unetctl("segment", write_image("slide.tif"))
    assert (said.code, "unetctl export" in said.err) == (66, True)
    Path("models").mkdir()
    Path("models/p.onnx").write_bytes(model.read_bytes())
    Path("deeper").mkdir()
    said = unetctl("segment", "slide.tif")
    assert said.code == 0, said.err
    assert "model: models/p.onnx (exported " in said.err
