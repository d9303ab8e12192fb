"""How the files of the project look: their length, who prints, and nothing of one person's machine in them."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("runtime", "trainer", "exporter", "cli")
MOST_LINES = 250
MOST_LINES_OF_TESTS = 400
LONGER: dict[str, str] = {}
"""Files that are longer, and why that reads better than two files."""

LARGER = {"runtime/models/nuclei.onnx": 5_000_000}
"""Files that may be over 1 MB, and the most bytes they may have."""

TEXT = frozenset((".py", ".toml", ".md", ".txt", ".yml", ".yaml", ".cfg", ""))
OWN_FOLDERS = re.compile(r"(?<![\w.])/(?:home|Users)/\w|(?<![\w.])/root/|C:\\\\?Users\\")


def project_files() -> list[Path]:
    """List the files that belong to the project: all but what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("NOT RUN: this is no git checkout, so what belongs to the project is not known")
    return sorted(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def printing(source: str) -> list[int]:
    """Return the lines of `source` that write to the terminal by themselves."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr", "warnings.warn"))
    ]


def machine_paths(text: str, root: Path = ROOT) -> list[str]:
    """Return the lines of `text` that hold a path of one person's machine."""
    here = (f"{root}/", f"{root}\\")
    return [line for line in text.splitlines() if OWN_FOLDERS.search(line) or any(path in line for path in here)]


def too_long(lengths: dict[str, int]) -> dict[str, int]:
    """Return the files, of these with their numbers of lines, that are longer than one concept needs."""
    limits = {name: MOST_LINES_OF_TESTS if name.startswith("tests/") else MOST_LINES for name in lengths}
    return {name: lines for name, lines in lengths.items() if lines > limits[name] and name not in LONGER}


def test_no_file_is_longer_than_one_concept_needs() -> None:
    code = [path for path in project_files() if path.suffix == ".py"]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in code}
    assert not too_long(lengths), "is there a second concept in them?"
    assert not [name for name in LONGER if lengths.get(name, 0) <= MOST_LINES], "an exception that is no longer needed"


def test_a_seeded_long_file_is_caught() -> None:
    assert too_long({"cli/main.py": 251, "tests/cli/test_main.py": 401, "runtime/plan.py": 250}).keys() == {
        "cli/main.py",
        "tests/cli/test_main.py",
    }


def test_only_the_command_line_prints() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in HOUSE
        if folder != "cli"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in printing(path.read_text("utf-8"))
    ]
    assert not found, f"libraries return values and log; only cli prints: {found}"


@pytest.mark.parametrize("source", ["print(1)", "import sys\nsys.stderr.write('x')", "def f():\n    input()"])
def test_a_seeded_print_is_caught(source: str) -> None:
    assert printing(source)


def test_no_path_of_one_machine_is_in_the_project() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in project_files()
        if path.suffix in TEXT and path != Path(__file__).resolve()
        for line in machine_paths(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["see /home/ann/data", "a /root/x", "at /srv/checkout/runtime/plan.py"])
def test_a_seeded_path_is_caught(text: str) -> None:
    assert machine_paths(text, Path("/srv/checkout"))


def test_an_ordinary_path_is_let_through() -> None:
    assert not machine_paths("../shared/data, /usr/bin/env, docs/home/x, runs/root/", Path("/srv/checkout"))


def test_every_folder_tells_type_checkers_that_it_is_typed() -> None:
    assert all((ROOT / folder / "py.typed").is_file() for folder in HOUSE)


def test_every_file_is_small_but_the_model_in_the_box() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in project_files()}
    large = {name: size for name, size in sizes.items() if size > LARGER.get(name, 1_000_000)}
    assert not large, f"over 1 MB in the repository, or over what is allowed: {large}"
