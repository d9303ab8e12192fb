"""What the pages say is true: their commands run, their links lead somewhere, and nothing is left to fill in."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"(?P<before>[^\n]*)\n+```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->")
"""On the line before a block that is too long to run or needs other hardware; it must say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that a page tells the reader to do."""

    kind: str
    """`console` or `python`"""
    text: str


def steps(page: str) -> list[Step]:
    """List what the fenced blocks of a page would have the reader type, in order."""
    found: list[Step] = []
    for block in FENCE.finditer(page):
        if NOT_RUN.search(block["before"]):
            continue
        if block["kind"] == "python":
            found.append(Step(kind="python", text=block["body"]))
        elif block["kind"] == "console":
            lines = (line for line in block["body"].splitlines() if line.startswith("$ "))
            found.extend(Step(kind="console", text=line.removeprefix("$ ")) for line in lines)
    return found


def run_step(step: Step, folder: Path) -> Path:
    """Do what a page says in `folder`, as in a project of a few tiny images, and return where the reader is then."""
    if step.kind == "python":
        _run([sys.executable, "-c", step.text], folder)
        return folder
    program, *arguments = shlex.split(step.text, comments=True)
    if program == "cd":
        return (folder / arguments[0]).resolve(strict=True)
    assert program == "unetctl", f"a page may only type unetctl and cd in a console block that is run: {step.text}"
    _run([str(Path(sys.executable).with_name("unetctl")), *arguments], folder)
    if arguments[0] == "init":
        project = folder / arguments[1]
        fill_project(project)
        return project
    return folder


def follow(page: str, folder: Path) -> None:
    """Do all that a page says, from top to bottom."""
    for step in steps(page):
        folder = run_step(step, folder)


def _run(command: list[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert ended.returncode == 0, f"{shlex.join(command)}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"


def fill_project(folder: Path) -> None:
    """Put five tiny annotated images and the slide that the pages speak of into a new project; train for seconds."""
    draw = np.random.default_rng(0)
    for index in range(5):
        labels = np.zeros((96, 96), np.uint8)
        y, x = draw.integers(8, 48, 2)
        labels[y : y + 30, x : x + 30] = 1
        image = (60 + 120 * labels + draw.integers(0, 30, labels.shape)).astype(np.uint8)
        tifffile.imwrite(folder / "data" / "images" / f"image_{index}.tif", image)
        tifffile.imwrite(folder / "data" / "labels" / f"image_{index}.tif", labels)
    tifffile.imwrite(folder / "huge_slide.tif", draw.integers(0, 256, (400, 300), dtype=np.uint8))
    config = folder / "unetctl.toml"
    text = config.read_text("utf-8")
    for key, value in (("depth", 2), ("base_channels", 4), ("steps", 4), ("tile", 32), ("validate_every", 2)):
        text, count = re.subn(rf"^# {key} = \S+", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, f"unetctl.toml has {count} lines for {key}"
    config.write_text(text, "utf-8")


@pytest.mark.journey
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_can_be_typed(page: Path, tmp_path: Path) -> None:
    follow(page.read_text("utf-8"), tmp_path)


def test_the_readme_tells_the_whole_story() -> None:
    typed = " ".join(step.text for step in steps((ROOT / "README.md").read_text("utf-8")))
    for command in ("init", "train", "export", "segment", "inspect", "check", "doctor"):
        assert f"unetctl {command}" in typed
    assert "from unetctl.runtime import segment" in typed


@pytest.mark.journey
@pytest.mark.parametrize(
    "page",
    [
        "\n```console\n$ unetctl segmnt x.tif\n```\n",
        "\n```console\n$ rm slide.tif\n```\n",
        "\n```python\nfrom unetctl.runtime import no_such_thing\n```\n",
    ],
)
def test_a_seeded_wrong_command_is_caught(page: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        follow(page, tmp_path)


def test_a_block_is_left_out_only_with_a_reason() -> None:
    assert not steps("<!-- not run: needs a GPU -->\n```console\n$ unetctl doctor\n```\n")
    assert steps("text\n\n```console\n$ unetctl doctor\nonnxruntime  can run\n```\n") == [
        Step(kind="console", text="unetctl doctor")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text("utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:runtime|trainer|exporter|cli|tests|benchmarks|docs)/[\w/.]+)`", page.read_text("utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_page_that_the_code_names_is_there() -> None:
    code = [path for folder in ("runtime", "trainer", "exporter", "cli") for path in (ROOT / folder).rglob("*.py")]
    named = {name.rstrip(".") for path in code for name in re.findall(r"docs/[\w./-]+", path.read_text("utf-8"))}
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert not re.findall(r"\{\{.*?\}\}|TODO|FIXME", page.read_text("utf-8"))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 150
