"""Finding the project, and in it the newest complete result."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import tiny_checkpoint, tiny_network, tiny_spec
from unetctl.cli.project import find_project, load_project, newest_checkpoint
from unetctl.runtime.errors import MissingInputError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "unetctl.toml").write_text('[project]\nname = "p"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add_run(project: Path, name: str, created: str) -> Path:
    network = tiny_network(depth=1, base_channels=2)
    folder = project / "runs" / name
    folder.mkdir(parents=True)
    return tiny_checkpoint(folder / "model.safetensors", network, replace(tiny_spec(network), created=created))


def test_a_project_is_found_from_any_folder_inside_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = project / "data" / "images"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert find_project() == project.resolve() / "unetctl.toml"
    assert load_project(None).name == "p"


def test_outside_a_project_the_way_into_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingInputError, match="no project") as caught:
        load_project(None)
    assert "unetctl init" in caught.value.hint


def test_the_newest_is_chosen_by_its_spec_and_not_by_its_file(project: Path) -> None:
    newer = add_run(project, "a", "2026-02-01T00:00:00+00:00")
    older = add_run(project, "b", "2026-01-31T23:59:59+00:00")
    os.utime(newer, (1, 1))
    os.utime(older, (2_000_000_000, 2_000_000_000))
    choice = newest_checkpoint(load_project(None))
    assert choice.path == newer
    assert "2026-02-01" in choice.reason
    assert "newest of 2" in choice.reason


def test_times_of_different_zones_are_compared_as_times(project: Path) -> None:
    newer = add_run(project, "a", "2026-01-01T10:00:00+00:00")
    add_run(project, "b", "2026-01-01T11:00:00+02:00")
    assert newest_checkpoint(load_project(None)).path == newer


def test_a_run_that_is_not_complete_is_no_result(project: Path) -> None:
    (project / "runs" / "a").mkdir(parents=True)
    (project / "runs" / "a" / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(MissingInputError, match="complete") as caught:
        newest_checkpoint(load_project(None))
    assert caught.value.hint == "unetctl train"


def test_a_damaged_result_is_left_out_and_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = add_run(project, "a", "2026-01-01T00:00:00+00:00")
    damaged = add_run(project, "b", "2026-02-01T00:00:00+00:00")
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert newest_checkpoint(load_project(None)).path == whole
    assert str(damaged) in capsys.readouterr().err


def test_the_toml_wins(project: Path) -> None:
    add_run(project, "a", "2026-02-01T00:00:00+00:00")
    older = add_run(project, "b", "2026-01-01T00:00:00+00:00")
    (project / "unetctl.toml").write_text('[export]\nmodel = "runs/b/model.safetensors"\n')
    choice = newest_checkpoint(load_project(None))
    assert choice.path == older
    assert "unetctl.toml" in choice.reason
