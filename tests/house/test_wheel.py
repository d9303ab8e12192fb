"""The wheel holds the four packages, the model in the box, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("runtime", "trainer", "exporter", "cli")
BOX = ("unetctl/runtime/models/nuclei.md", "unetctl/runtime/models/nuclei.onnx")
"""The built-in model and its card."""


def foreign(names: list[str]) -> list[str]:
    """Return the files of a wheel that are none of the four packages', of the box, and of what it says of itself."""
    kinds = (".py", "/py.typed", ".toml")
    ours = tuple(f"unetctl/{folder}/" for folder in HOUSE)
    return [
        name
        for name in names
        if not (name.startswith(ours) and name.endswith(kinds))
        and name not in BOX
        and ".dist-info/" not in name.partition("/")[0] + "/"
    ]


def test_the_wheel_is_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not foreign(names)
    on_disk = {
        f"unetctl/{path.relative_to(ROOT).as_posix()}"
        for folder in HOUSE
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".toml") or path.name == "py.typed"
    }
    assert {name for name in names if ".dist-info/" not in name} == on_disk | set(BOX)
    assert all(f"unetctl/{folder}/py.typed" in names for folder in HOUSE)


def test_the_wheel_carries_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        said = [name for name in archive.namelist() if ".dist-info/" in name]
        about = {name.partition(".dist-info/")[2]: archive.read(name).decode() for name in said}
    assert about["licenses/LICENSE"] == (ROOT / "LICENSE").read_text("utf-8")
    assert "unetctl = unetctl.cli.main:main" in about["entry_points.txt"]
    base = [line for line in about["METADATA"].splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert not [line for line in base if "onnx" in line or "torch" in line], "the variants overwrite each other"


@pytest.mark.parametrize(
    "name",
    [
        *("runtime/plan.py", "unetctl/__init__.py", "tests/data.py"),
        *("unetctl/cli/x.onnx", "unetctl/runtime/models/other.onnx", "unetctl/runtime/models/nuclei.safetensors"),
    ],
)
def test_a_seeded_foreign_file_is_caught(name: str) -> None:
    assert foreign(["unetctl/cli/main.py", "unetctl-0.1.0.dist-info/RECORD", name]) == [name]
