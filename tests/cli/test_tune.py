"""`unetctl tune` measures, remembers and says so; `segment` uses it unless what was typed speaks against it."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Type
from tests.models import tiny_model
from unetctl.cli import tune as tune_module
from unetctl.cli.models import Wish, open_model
from unetctl.cli.tuned import engines_here
from unetctl.runtime import tuning_record
from unetctl.runtime.model import read_model
from unetctl.runtime.tile_choice import TileChoice
from unetctl.runtime.tuning import Setting
from unetctl.runtime.tuning_record import Tuning, TuningKey, TuningStore

SETTING = Setting(
    engine="onnxruntime", precision="fp32", threads=1, tiles=TileChoice(tile_yx=(512, 1024), batch=2, slots=2)
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tiny_model(tmp_path / "models")


@pytest.fixture
def image() -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (1100, 1100), np.uint8)
    tifffile.imwrite("slide.tif", pixels, photometric="minisblack")
    return Path("slide.tif")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "unetctl" / "tuned"


def remember(path: Path, **changes: object) -> Tuning:
    """Remember a tuning that nobody measured."""
    runnable = open_model(path, Wish())
    tuning = Tuning(
        created="2026-11-30T10:00:00+00:00",
        model="tiny",
        key=TuningKey.here(runnable.model.sha256),
        engines=engines_here(path, runnable),
        setting=SETTING,
        gain=1.25,
        mpx_per_second=2.5,
        default_mpx_per_second=2.0,
        image_yx=(4096, 4096),
        max_memory_bytes=4 << 30,
    )
    tuning = replace(tuning, **changes)  # type: ignore[arg-type]
    TuningStore().save(tuning)
    return tuning


def test_tuning_from_end_to_end(unetctl: Type, model: Path, image: Path) -> None:
    words = ("tune", "--model", model, "--minutes", "0.03", "--image", image)
    said = unetctl(*words)
    assert said.code == 0, said.err
    for word in ("kept px", "threads", "Mpx/s", "ratio", "memory", "default", "best", "1100 x 1100 px"):
        assert word in said.out
    assert said.err.splitlines()[-1] == f"next: unetctl segment IMAGE --model {model}"
    assert f"model: {model}" in said.err
    used = unetctl("segment", image, "--model", model)
    assert used.code == 0, used.err
    assert "tuned: " in used.err
    listed = unetctl("tune", "--list")
    assert "1 model tuned" in listed.out
    assert read_model(model).sha256[:12] in listed.out
    found = json.loads(unetctl(*words, "--json").out)
    assert set(found) == {"model", "record", "default", "best", "gain", "complete", "trials"}
    assert found["default"]["mpx_per_second"] > 0
    assert Path(found["record"]).is_file()


def test_a_full_disk_costs_the_record_and_not_what_was_measured(
    unetctl: Type, model: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tuning_record, "write_atomically", full)
    words = ("tune", "--model", model, "--minutes", "0.001", "--image", image, "--engine", "onnxruntime")
    said = unetctl(*words)
    assert said.code == 74
    assert "Mpx/s" in said.out
    assert "what was tuned cannot be remembered" in said.err
    assert "next: " not in said.err
    said = unetctl(*words, "--json")
    assert said.code == 74
    assert json.loads(said.out)["record"] is None


def test_segment_uses_what_was_found_and_says_so(unetctl: Type, model: Path, image: Path) -> None:
    plain = unetctl("segment", image, "--model", model)
    assert "tuned" not in plain.err
    truth = tifffile.imread("slide.labels.ome.tif")
    remember(model)
    said = unetctl("segment", image, "--model", model, "--overwrite")
    assert said.code == 0, said.err
    line = next(one for one in said.err.splitlines() if one.startswith("tuned: "))
    assert line == (
        "tuned: tiles (1024 x 512 px), threads and engine as unetctl tune found them on 2026-11-30, "
        "1.25 times as fast as without"
    )
    assert "engine: onnxruntime" in said.err
    assert "as unetctl tune found it" in said.err
    assert np.mean(tifffile.imread("slide.labels.ome.tif") != truth) < 0.001  # ties: another engine and precision
    found = json.loads(unetctl("segment", image, "--model", model, "--overwrite", "--json").out)
    assert found["tuned"]["tiles"]["tile_yx"] == [512, 1024]
    assert found["tuned"]["created"] == "2026-11-30T10:00:00+00:00"
    assert found["engine"].startswith("onnxruntime")
    assert found["tiles"] == 6
    assert "--threads 1" in json.loads(unetctl("inspect", "slide.labels.ome.tif", "--json").out)["command"]
    planned = json.loads(unetctl("segment", image, "--model", model, "--plan", "--json").out)
    assert planned["tuned"] == found["tuned"]
    assert planned["read_shapes"] == found["read_shapes"]
    assert "tuned: tiles" in unetctl("segment", image, "--model", model, "--plan").err


def test_without_tuning_nothing_of_it_is_used(unetctl: Type, model: Path, image: Path) -> None:
    before = json.loads(unetctl("segment", image, "--model", model, "--json", "--plan").out)
    remember(model)
    said = unetctl("segment", image, "--model", model, "--no-tune", "--plan")
    assert "tuned" not in said.err
    found = json.loads(unetctl("segment", image, "--model", model, "--no-tune", "--plan", "--json").out)
    assert found["tuned"] is None
    assert found["read_shapes"] == before["read_shapes"]
    assert found["engine"] == before["engine"]


@pytest.mark.parametrize(
    ("words", "uses"),
    [
        (("--engine", "openvino"), False),
        (("--engine", "onnxruntime"), True),
        (("--threads", "2"), False),
        (("--threads", "1"), True),
        (("--precision", "fp32"), True),
        (("--max-memory", "3GiB"), True),
    ],
)
def test_what_was_typed_wins(unetctl: Type, model: Path, image: Path, words: tuple[str, ...], uses: bool) -> None:
    remember(model)
    said = unetctl("segment", image, "--model", model, "--plan", *words)
    assert said.code == 0, said.err
    assert ("tuned: tiles" in said.err) == uses
    if not uses:
        option, value = words
        assert f"tuned: left out for {option} {value}" in said.err
        assert json.loads(unetctl("segment", image, "--model", model, "--plan", "--json", *words).out)["tuned"] is None


def test_what_was_tuned_with_an_engine_is_used_with_that_engine_only(unetctl: Type, model: Path, image: Path) -> None:
    typed = ("--engine", "onnxruntime", "--precision", "fp32")
    key = TuningKey.here(read_model(model).sha256, engine="onnxruntime", precision="fp32")
    remember(model, key=key)
    plan = ("segment", image, "--model", model, "--plan")
    assert "tuned: " not in unetctl(*plan).err
    assert "tuned: " not in unetctl(*plan, *typed[:2]).err
    assert "1.25 times as fast" in unetctl(*plan, *typed).err
    remember(model, gain=1.5)
    assert "1.50 times as fast" in unetctl(*plan).err
    assert "1.50 times as fast" in unetctl(*plan, *typed[:2]).err
    assert "1.25 times as fast" in unetctl(*plan, *typed).err
    assert "--engine onnxruntime --precision fp32" in unetctl("tune", "--list").out
    assert unetctl("tune", "--model", model, *typed, "--forget").out == "forgotten\n"
    assert "1.50 times as fast" in unetctl(*plan, *typed).err


def test_a_search_among_one_engine_names_the_command_that_uses_it(unetctl: Type, model: Path, image: Path) -> None:
    typed = ("--engine", "onnxruntime")
    said = unetctl("tune", "--model", model, "--minutes", "0.01", "--image", image, *typed)
    assert said.code == 0, said.err
    assert said.err.splitlines()[-1] == f"next: unetctl segment IMAGE --model {model} --engine onnxruntime"
    assert "tuned: " not in unetctl("segment", image, "--model", model, "--plan").err
    assert "tuned: " in unetctl("segment", image, "--model", model, "--plan", *typed).err


def test_a_precision_that_speaks_against_it_wins(unetctl: Type, model: Path, image: Path) -> None:
    remember(model, setting=replace(SETTING, precision="bf16", engine="openvino"))
    said = unetctl("segment", image, "--model", model, "--plan", "--precision", "fp32")
    assert said.code == 0, said.err
    assert "tuned: left out for --precision fp32; found was bf16" in said.err


def test_what_is_stale_or_damaged_is_left_out_with_a_word(unetctl: Type, model: Path, image: Path, cache: Path) -> None:
    remember(model, engines=("openvino 1999 on CPU",))
    said = unetctl("segment", image, "--model", model, "--plan")
    assert said.code == 0, said.err
    assert "tuned: what unetctl tune remembered is left out: the engines were openvino 1999 on CPU" in said.err
    (path,) = cache.glob("*.json")
    path.write_text("no JSON")
    said = unetctl("segment", image, "--model", model, "--plan")
    assert said.code == 0, said.err
    assert "tuned: what unetctl tune remembered is left out: it is damaged" in said.err
    cache.chmod(0o777)
    said = unetctl("segment", image, "--model", model, "--plan")
    assert (said.code, "is not yours alone" in said.err) == (0, True)
    cache.chmod(0o700)
    remember(model, setting=replace(SETTING, precision="int8"))
    said = unetctl("segment", image, "--model", model, "--plan")
    assert (said.code, "left out" in said.err) == (0, True)


def test_in_less_memory_the_tile_is_cut(unetctl: Type, model: Path, image: Path) -> None:
    remember(model, setting=replace(SETTING, tiles=TileChoice(tile_yx=(1024, 1024))))
    words = ("segment", image, "--model", model, "--plan", "--json")
    roomy = json.loads(unetctl(*words, "--max-memory", "4GiB").out)
    refused = unetctl(*words, "--max-memory", "10MiB")
    needed = int(json.loads(refused.err)["hint"].split("--max-memory ")[1].split("MiB")[0])
    tight = json.loads(unetctl(*words, "--max-memory", f"{needed + 1}MiB").out)
    assert tight["tuned"] == roomy["tuned"]
    assert tight["read_shapes"][0] < roomy["read_shapes"][0]
    assert tight["expected_memory_bytes"] <= (needed + 1) << 20


def test_nothing_faster_is_said_too(unetctl: Type, model: Path, image: Path) -> None:
    remember(model, gain=1.0, setting=replace(SETTING, tiles=TileChoice()))
    said = unetctl("segment", image, "--model", model, "--plan")
    assert "tuned: unetctl tune found nothing faster than the defaults on 2026-11-30" in said.err
    assert "the default" in unetctl("tune", "--list").out


def test_it_is_forgotten(unetctl: Type, model: Path, cache: Path) -> None:
    assert "nothing is remembered" in unetctl("tune", "--list").out
    remember(model)
    listed = json.loads(unetctl("tune", "--list", "--json").out)
    assert [one["model"] for one in listed] == ["tiny"]
    assert unetctl("tune", "--model", model, "--forget").out == "forgotten\n"
    assert not list(cache.iterdir())
    assert json.loads(unetctl("tune", "--model", model, "--forget", "--json").out)["forgotten"] is False


def test_every_engine_in_every_accepted_precision_is_a_choice(model: Path) -> None:
    runnable = open_model(model, Wish())
    found = tune_module.engine_choices(model, runnable, Wish())
    assert next(iter(found)) == (runnable.choice.name, runnable.choice.precision(runnable.model))
    assert {("openvino", "fp32"), ("onnxruntime", "fp32")} <= set(found)
    only = open_model(model, Wish(engine="onnxruntime"))
    assert list(tune_module.engine_choices(model, only, Wish(engine="onnxruntime"))) == [("onnxruntime", "fp32")]
    checkpoint = model.with_suffix(".safetensors")
    torch = open_model(checkpoint, Wish())
    assert list(tune_module.engine_choices(checkpoint, torch, Wish())) == [("torch", "fp32")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--minutes", "0"), 2),
        (("--minutes", "many"), 2),
        (("--model", "gone.onnx"), 66),
        (("--image", "gone.tif"), 66),
        (("--max-memory", "1MiB"), 75),
        (("--max-memory", "lots"), 2),
        (("--engine", "warp"), 2),
        (("--engine", "torch"), 2),
        (("--precision", "fp64"), 2),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(
    unetctl: Type, model: Path, cache: Path, words: tuple[str, ...], code: int
) -> None:
    said = unetctl("tune", *(() if "--model" in words else ("--model", model)), *words)
    assert said.code == code, said.err
    assert said.err.splitlines()[-1].startswith(("error: ", "  try: ", "  cause: "))
    assert not list(cache.glob("*"))


def test_outside_a_project_a_model_must_be_named(unetctl: Type) -> None:
    assert unetctl("tune").code == 66
