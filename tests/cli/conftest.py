"""What the tests of the command line share: a way to type a command, and a project with a tiny trained network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from unetctl.cli.main import run

Type = Callable[..., "Said"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str
    both: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "both", self.out + self.err)


@pytest.fixture
def unetctl(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Type a command in an empty folder of its own; crash reports go there too."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")

    def type_command(*words: str | Path) -> Said:
        capfd.readouterr()
        code = run([str(one) for one in words])
        said = capfd.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    return type_command
