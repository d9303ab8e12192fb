"""`unetctl segment` stopped by a signal and typed again: what it says, and what scripts see."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Said, Type
from tests.models import tiny_model
from unetctl.runtime.journal import RECORD_BYTES

pytestmark = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: POSIX signals")
FOLDER = Path(".slide.labels.ome.tif.run")
WORDS = ("segment", "slide.tif", "--engine", "onnxruntime", "--threads", "1", "--max-memory", "2GiB")
SMALL_TILES = ("--skip-blank", "--blank-label", "class 1")


@pytest.fixture
def words(tmp_path: Path, unetctl: Type) -> tuple[str, ...]:
    """A command that takes a second or two, in the folder where `unetctl` types."""
    del unetctl  # it has changed to its folder
    pixels = np.random.default_rng(0).integers(0, 256, (2500, 2300), np.uint8)
    tifffile.imwrite("slide.tif", pixels, tile=(256, 256), photometric="minisblack")
    (tmp_path / "models").mkdir()
    return (*WORDS, *SMALL_TILES, "--model", str(tiny_model(tmp_path / "models")))


def stopped(words: tuple[str, ...], number: int) -> Said:
    """Type a command in a process of its own, and send it a signal when some of its tiles are done."""
    command = [sys.executable, "-c", "from unetctl.cli.main import main; main()", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal, until = FOLDER / "journal.bin", time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 8 * RECORD_BYTES) and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return Said(code=process.returncode, out=out, err=err)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_costs_nothing(unetctl: Type, words: tuple[str, ...], number: int, code: int) -> None:
    said = stopped(words, number)
    assert said.code == code, said.err
    assert not Path("slide.labels.ome.tif").exists()
    if number != signal.SIGKILL:
        last = said.err.splitlines()[-1]
        assert last.startswith("saved: ")
        assert last.endswith("tiles; the same command goes on from there")
    again = unetctl(*words)
    assert again.code == 0, again.err
    assert "continued: " in again.err
    assert "were there" in again.out
    assert not FOLDER.exists()

    if number != signal.SIGINT:
        return
    labels = Path("slide.labels.ome.tif").rename("first.tif")
    picture = Path("slide.labels.preview.png").read_bytes()
    assert unetctl(*words, "--quiet").code == 0
    assert np.array_equal(tifffile.imread(labels), tifffile.imread("slide.labels.ome.tif"))
    assert Path("slide.labels.preview.png").read_bytes() == picture


def test_what_was_begun_otherwise_is_refused_with_its_code_and_both_ways_out(
    unetctl: Type, words: tuple[str, ...]
) -> None:
    stopped(words, signal.SIGKILL)
    planned = json.loads(unetctl(*words, "--plan", "--json").out)["continued"]
    assert 0 < planned["tiles"] < planned["total_tiles"]
    assert f"{planned['tiles']} of {planned['total_tiles']} tiles are there" in " ".join(
        unetctl(*words, "--plan").out.split()
    )
    found = json.loads(unetctl("inspect", FOLDER, "--json").out)
    assert (found["kind"], found["tiles"], found["identity"]["image"]) == ("run", planned["tiles"], "slide.tif")
    assert f"{found['tiles']} of {found['total_tiles']} tiles" in unetctl("inspect", FOLDER).out
    other = [*words, "--blank-label", "class 0"]
    for refused in (unetctl(*other), unetctl(*other, "--plan")):
        assert refused.code == 2
        assert f"{planned['tiles']} of its {planned['total_tiles']} tiles are done" in refused.err
        assert "cause: the class for blank tiles was 1 and is 0" in refused.err
        assert "unetctl segment slide.tif --model" in refused.err
        assert "--restart" in refused.err
    (FOLDER / "run.json").write_bytes(b"")
    assert unetctl(*words).code == 73
    assert json.loads(unetctl(*words, "--json").err)["hint"].startswith("--restart discards it")
    found = unetctl(*words, "--restart", "--json")
    assert (found.code, found.err) == (0, "")
    assert json.loads(found.out)["continued"] is None


def test_the_command_in_the_hint_goes_on(unetctl: Type, words: tuple[str, ...]) -> None:
    model = Path(words[-1]).rename(Path(words[-1]).name)
    stopped((*words[:-1], str(model)), signal.SIGKILL)
    refused = unetctl("segment", "slide.tif", "--model", model, "--threads", "2", "--json")
    (command,) = re.findall(r"to go on \((.*)\), or", json.loads(refused.err)["hint"])
    again = unetctl(*shlex.split(command)[1:])
    assert again.code == 0, again.err
    assert "continued: " in again.err


def test_scripts_see_what_was_there(unetctl: Type, words: tuple[str, ...]) -> None:
    stopped(words, signal.SIGKILL)
    said = unetctl(*words, "--json")
    assert said.err == ""
    continued = json.loads(said.out)["continued"]
    assert continued.keys() == {"tiles", "total_tiles", "pixels"}
    assert 0 < continued["pixels"] < 2500 * 2300
