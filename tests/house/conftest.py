"""What the tests of the house share: the wheel, built once, and a fresh environment with nothing but it in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCE = (
    *(".git", ".venv", ".links", "*.egg-info", "build", "dist", "demo", "__pycache__"),
    *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"),
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "journey: runs whole commands as a person would; `make check` leaves it out")


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it said."""
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, errors="replace")


def needs_package_index(folder: Path) -> None:
    """Skip the test where pip reaches no package index; whatever fails after this is a failure."""
    probe = run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "typer")
    if probe.returncode:
        pytest.skip(f"NOT RUN: pip reaches no package index here ({probe.stderr.strip().splitlines()[-1]})")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources: a left-over build/ would put deleted modules into it."""
    needs_package_index(tmp_path_factory.mktemp("probe"))
    source, output = tmp_path_factory.mktemp("source") / "unetctl", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", output, source)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = output.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Make a fresh environment with the wheel and `[cpu]` alone, and return the folder of its programs."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    made = run(sys.executable, "-m", "venv", folder)
    assert made.returncode == 0, made.stdout + made.stderr
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    pins = ROOT / "constraints.txt"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    installed = run(*pip, "install", "--quiet", "--constraint", pins, f"{wheel}[cpu]")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return programs
