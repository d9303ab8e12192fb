"""`unetctl evaluate`: what it scores where nothing is said, what it shows, and what it refuses."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from tests.cli.conftest import Type
from tests.models import tiny_checkpoint, tiny_model, tiny_network, tiny_spec
from tests.trainer.project import discs, make_project, write_png
from unetctl.cli.evaluate_request import default_page
from unetctl.trainer.config import load_config
from unetctl.trainer.dataset import load_dataset
from unetctl.trainer.evaluation import Request
from unetctl.trainer.measures import confusion_matrix, plain_scores
from unetctl.trainer.resume import settings_of

DATA = '[data]\nvalidation = ["2"]\ntest = ["3"]\nbackground = "ground"\n'
CLASSES = '[[classes]]\nname = "ground"\n[[classes]]\nname = "disc"\n'

KEYS = {
    *("model", "predictions", "labels", "images_from", "part", "classes", "threshold", "notices", "page"),
    *("scores", "images", "seconds_per_megapixel", "scan", "averaged"),
}
SCORE_KEYS = {"pixels", "pixel_error", "mean_dice", "dice", "iou", "confusion", "objects", "membranes"}


def finish_run(name: str = "first", *, seed: int = 0, scale: float = 0.02) -> Path:
    """Put a complete run with a random network into the project that is here."""
    network = tiny_network(depth=1, base_channels=2, seed=seed)
    config = load_config(Path("unetctl.toml"))
    dataset = load_dataset(config)
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    training = {
        "run": name,
        "settings": settings_of(config),
        "split": {key: {"images": len(pairs), "names": [pair.name for pair in pairs]} for key, pairs in parts.items()},
    }
    spec = tiny_spec(network, shift=90.0, scale=scale)
    spec = replace(spec, classes=dataset.classes.classes, background=dataset.classes.background, training=training)
    Path("runs", name).mkdir(parents=True)
    return tiny_checkpoint(Path("runs", name, "model.safetensors"), network, spec)


@pytest.fixture
def project(unetctl: Type) -> Path:
    """Four images, the last of which is for the test, and a complete run."""
    make_project(Path(), toml=DATA + CLASSES)
    return finish_run()


def scores(type_command: Type, *words: str | Path) -> dict[str, Any]:
    said = type_command("evaluate", *words, "--json")
    assert (said.code, said.err) == (0, ""), said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


@pytest.mark.usefixtures("project")
def test_the_newest_run_is_scored_on_the_test_images(unetctl: Type) -> None:
    said = unetctl("evaluate")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "runs/first/model.safetensors on 1 test image"
    words = " ".join(said.out.split())
    for word in ("worst first", "wrong px", "cell3", "all 1", "by class", "ground", "disc", "a megapixel"):
        assert word in words
    assert "model: runs/first/model.safetensors (trained 2026-01-01" in said.err
    assert said.err.splitlines()[-1] == "next: unetctl export --model runs/first/model.safetensors"
    assert "page runs/first/evaluation.html" in words
    assert Path("runs/first/evaluation.html").read_text().startswith("<!doctype html>")
    assert unetctl("evaluate", "--quiet").out.startswith("wrong px ")


@pytest.mark.usefixtures("project")
def test_the_keys_of_json_are_stable(unetctl: Type) -> None:
    found = scores(unetctl, "--membranes", "--objects", "--tta")
    assert set(found) == KEYS
    assert set(found["scores"]) == SCORE_KEYS
    assert set(found["images"][0]) == {"name", "seen_in", *SCORE_KEYS}
    assert set(found["averaged"]) == {"scores", "images", "seconds_per_megapixel", "scan"}
    assert set(found["scan"]) == {"pixel_f_score", "v_rand", "v_info", "splits_and_mergers_error"}
    assert set(found["scan"]["v_rand"]) == {"best_threshold", "best", "by_threshold"}
    assert set(found["scores"]["objects"]) == {"truth", "predicted", "seg", "ap", "ap50", "mean_ap"}
    assert list(found["scores"]["objects"]["ap"]) == [f"{step / 20:g}" for step in range(10, 19)]
    assert {"v_rand", "adapted_rand_error", "variation_of_information", "warping_error"} < set(
        found["scores"]["membranes"]
    )
    assert (found["part"], found["classes"], found["model"]) == (
        "test",
        ["ground", "disc"],
        str(Path.cwd() / "runs/first/model.safetensors"),
    )
    assert found["averaged"]["seconds_per_megapixel"] > found["seconds_per_megapixel"] > 0
    assert found["scores"] != found["averaged"]["scores"]


@pytest.mark.usefixtures("project")
def test_averaging_shows_its_worth_and_its_cost(unetctl: Type) -> None:
    said = unetctl("evaluate", "--tta")
    lines = said.out.splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("averaging over the 8 symmetries"))
    assert lines[first + 1].split()[-1] == "s/Mpx"
    assert lines[first + 2].split()[0] == "none"
    assert lines[first + 3].split()[:2] == ["8", "symmetries"]


@pytest.mark.usefixtures("project")
def test_a_threshold_goes_from_validation_to_test(unetctl: Type) -> None:
    said = unetctl("evaluate", "--part", "validation", "--membranes")
    assert said.code == 0
    assert "which flatters" in said.out
    assert "the weights were chosen by these images: their scores flatter a little" in said.err
    command = said.err.splitlines()[-1].removeprefix("next: unetctl ")
    assert command.startswith("evaluate --model runs/first/model.safetensors --part test --membranes --threshold 0")
    said = unetctl(*shlex.split(command))
    assert said.code == 0
    assert "which flatters" not in said.out
    assert "1 test image, cut at 0" in said.out
    low, high = (scores(unetctl, "--threshold", one)["scores"]["confusion"] for one in ("0", "1"))
    assert [row[0] for row in low] == [0, 0]  # everything is a disc, and then nothing
    assert [row[1] for row in high] == [0, 0]


@pytest.mark.usefixtures("project")
def test_images_that_the_network_was_trained_on_are_told(unetctl: Type) -> None:
    found = scores(unetctl, "--part", "train")
    assert [one["seen_in"] for one in found["images"]] == ["train", "train"]
    assert "was trained on these images" in found["notices"][-1]
    everything = scores(unetctl, "--labels", "labels")
    assert everything["part"] is None
    assert "was trained on 2 of these 4 images" in everything["notices"][-2]
    assert sorted(str(one["seen_in"]) for one in everything["images"]) == ["None", "train", "train", "validation"]
    worst = [one["mean_dice"] for one in everything["images"]]
    assert worst == sorted(worst)
    text = Path("unetctl.toml").read_text().replace('test = ["3"]', 'test = ["0"]')
    Path("unetctl.toml").write_text(text)  # a split that was changed after training
    assert "was trained on these images" in scores(unetctl)["notices"][-1]


@pytest.mark.usefixtures("project")
def test_the_newest_of_several_runs_is_scored_unless_one_is_named(unetctl: Type) -> None:
    finish_run("second", seed=3)
    one, other = scores(unetctl, "--model", "runs/first/model.safetensors"), scores(unetctl)
    assert [Path(found["model"]).parent.name for found in (one, other)] == ["first", "second"]
    assert one["scores"] != other["scores"]
    assert Path("runs/second/evaluation.html").is_file()


def test_without_test_images_those_of_validation_are_scored(unetctl: Type) -> None:
    make_project(Path(), toml='[data]\nvalidation = ["2-3"]\n')
    finish_run()
    said = unetctl("evaluate")
    assert said.out.splitlines()[0] == "runs/first/model.safetensors on 2 validation images"
    assert unetctl("evaluate", "--part", "test").code == 2


def test_ready_label_images_need_no_project_and_no_model(unetctl: Type) -> None:
    for k in range(3):
        _, instances = discs(k)
        truth = (instances > 0).astype(np.uint8)
        write_png(Path(f"truth/{k}.png"), truth)
        write_png(Path(f"found/{k}.png"), 255 * np.roll(truth, k, axis=0))  # of another origin
        write_png(Path(f"bytes/{k}.png"), 255 * truth)
    found = scores(unetctl, "--labels", "bytes", "--predictions", "found")
    assert [one["name"] for one in found["images"]] == ["2", "1", "0"]
    matrix = sum(
        confusion_matrix(
            imagecodecs.png_decode(Path(f"bytes/{k}.png").read_bytes()) // 255,
            imagecodecs.png_decode(Path(f"found/{k}.png").read_bytes()) // 255,
            2,
        )
        for k in range(3)
    )
    expected = plain_scores(np.asarray(matrix), found["classes"])
    assert {key: found["scores"][key] for key in expected} == expected
    assert found["page"] is None
    positions = scores(unetctl, "--labels", "bytes", "--predictions", "truth", "--page", "page.html")
    assert positions["scores"]["pixel_error"] == 0
    assert "positions" in " ".join(positions["notices"])
    assert Path("page.html").is_file()


def test_numbered_objects_are_scored_as_objects(unetctl: Type) -> None:
    numbers = np.zeros((30, 40), np.uint8)
    numbers[3:12, 3:14], numbers[3:12, 14:22], numbers[20:25, 30:38] = 5, 9, 11
    write_png(Path("truth/a.png"), numbers)
    write_png(Path("same/a.png"), numbers * 3)
    write_png(Path("mask/a.png"), (numbers > 0).astype(np.uint8))
    same = scores(unetctl, "-l", "truth", "-p", "same", "--objects")["scores"]
    assert (same["pixel_error"], same["objects"]["truth"], same["objects"]["mean_ap"]) == (0, 3, 1)
    mask = scores(unetctl, "-l", "truth", "-p", "mask", "--objects")["scores"]["objects"]
    assert (mask["predicted"], mask["ap50"]) == (2, round(2 / 3, 6))  # two of them touch: one IoU is 99 / 171
    said = unetctl("evaluate", "-l", "truth", "-p", "same")
    assert said.code == 65
    assert "--objects" in said.err


def test_a_project_of_instances_is_scored_by_its_objects(unetctl: Type) -> None:
    make_project(Path(), labels="instances", toml='[data]\nkind = "instances"\nvalidation = ["3"]\n')
    finish_run()
    found = scores(unetctl)
    _, instances = discs(3)
    assert found["scores"]["objects"]["truth"] == len(np.unique(instances)) - 1
    assert "SEG" in unetctl("evaluate").out


def test_an_exported_model_gives_the_scores_of_its_checkpoint(unetctl: Type) -> None:
    make_project(Path(), toml='[data]\ntest = ["2-3"]\n')
    Path("models").mkdir()
    model = tiny_model(Path("models"))
    one, other = (scores(unetctl, "--model", path) for path in (model.with_name("model.safetensors"), model))
    assert one["scores"] == other["scores"]
    assert (one["scan"], other["page"]) == (None, None)
    said = unetctl("evaluate", "--model", model, "--tta")
    assert said.code == 2
    assert "--tta needs a checkpoint" in said.err
    for k in (2, 3):  # the results lie beside the images
        assert unetctl("segment", f"images/cell{k}.png", "--model", model).code == 0
    again = scores(unetctl, "--predictions", "images")
    assert again["scores"] == one["scores"]


def test_the_page_of_a_model_is_in_the_folder_of_its_run(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_project(Path.cwd())
    spec = replace(tiny_spec(tiny_network(depth=1, base_channels=2)), training={"run": "first"})
    monkeypatch.setattr("unetctl.runtime.model.read_model_spec", lambda path: (spec, None))
    request = Request(labels=Path("labels"), images=Path("images"), model=Path("m.onnx"), config=config)
    assert default_page(request) is None  # the run was taken away
    Path("runs/first").mkdir(parents=True)
    assert default_page(request) == Path.cwd() / "runs/first/evaluation.html"
    assert default_page(replace(request, config=None)) is None
    assert default_page(replace(request, model=None, predictions=Path("p"))) is None


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--part", "tests"), 2, "--part test, validation or train"),
        (("--threshold", "2"), 2, "probabilities are 0 to 1"),
        (("--model", "m.onnx", "--predictions", "labels"), 2, "exclude each other"),
        (("--predictions", "labels", "--threshold", "0.5"), 2, "--threshold needs a checkpoint"),
        (("--predictions", "gone"), 66, "gone is not there"),
        (("--predictions", "empty"), 66, "no prediction (PNG, TIFF) in empty"),
        (("--labels", "gone"), 66, "gone is not there"),
        (("--model", "gone.safetensors"), 66, "gone.safetensors"),
        (("--predictions", "others"), 65, "cell3.png: no prediction of this name"),
        (("--labels", "sizes", "--images", "images"), 65, "60 x 72 px, and its label image cell3.png is 9 x 8"),
        (("--labels", "values", "--images", "images"), 65, "cell3.png: values that mean no class: 7"),
        (("--page", "unetctl.toml"), 73, "no page of unetctl evaluate"),
        (("--page", "gone/page.html"), 73, "its folder is not there"),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(unetctl: Type, words: tuple[str, ...], code: int, said: str) -> None:
    Path("empty").mkdir()
    write_png(Path("others/cell0.png"), np.zeros((72, 60), np.uint8))
    write_png(Path("sizes/cell3.png"), np.zeros((8, 9), np.uint8))
    write_png(Path("values/cell3.png"), np.full((72, 60), 7, np.uint8))
    found = unetctl("evaluate", *words)
    assert (found.code, said in found.err) == (code, True), found.err


def test_three_classes_have_no_membranes_and_no_threshold(unetctl: Type) -> None:
    write_png(Path("truth/a.png"), np.arange(60, dtype=np.uint8).reshape(6, 10) % 3)
    said = unetctl("evaluate", "-l", "truth", "-p", "truth", "--membranes")
    assert (said.code, "there are 3 classes" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "hint"),
    [((), "--predictions"), (("-p", "x"), "--labels"), (("-p", "x", "-l", "x", "--part", "test"), "leave it out")],
)
def test_outside_a_project_what_is_missing_is_named(unetctl: Type, words: tuple[str, ...], hint: str) -> None:
    write_png(Path("x/a.png"), np.zeros((4, 4), np.uint8))
    said = unetctl("evaluate", *words)
    assert (said.code, hint in said.err) == (2, True)


def test_a_model_outside_a_project_needs_images(unetctl: Type, tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2)
    model = tiny_checkpoint(tmp_path / "m.safetensors", network, tiny_spec(network))
    image, instances = discs(0)
    write_png(Path("images/a.png"), image)
    write_png(Path("labels/a.png"), (instances > 0).astype(np.uint8))
    assert "--images" in unetctl("evaluate", "-m", model, "-l", "labels").err
    found = scores(unetctl, "-m", model, "-l", "labels", "-i", "images")
    assert (found["part"], found["page"]) == (None, str(tmp_path / "evaluation.html"))
    assert found["classes"] == ["class 0", "class 1"]


@pytest.mark.usefixtures("project")
def test_many_images_are_cut_short_on_the_screen_only(unetctl: Type) -> None:
    for k in range(25):
        write_png(Path(f"truth/a_name_that_is_very_long_{k}.png"), np.full((4, 4), k % 2, np.uint8))
    said = unetctl("evaluate", "-l", "truth", "-p", "truth")
    assert "5 better ones are in --json" in said.out
    assert "all 25" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
