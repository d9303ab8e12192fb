"""Plans of others are not run: a plan is trusted if this user built exactly these bytes here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.runtime.engines_made import PLAN, engine_in
from unetctl.runtime.engine_file import read_engine_file, record_path
from unetctl.runtime.engine_trust import engine_cache, remember_built, trusted_plan, was_built_here
from unetctl.runtime.errors import DataError, MissingInputError, RefusedError, StorageError

posix = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: Windows keeps the folders of users apart by itself")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home of the user's own."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_plan_that_was_built_here_is_given_wherever_it_lies(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    remember_built(engine.record.plan_sha256)
    assert trusted_plan(engine, trust_foreign=False) == PLAN
    (tmp_path / "away").mkdir()
    for path in (engine.path, record_path(engine.path)):
        shutil.move(path, tmp_path / "away")
    assert trusted_plan(read_engine_file(tmp_path / "away" / engine.path.name), trust_foreign=False) == PLAN


def test_a_foreign_plan_needs_to_be_trusted_each_time(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    for _ in range(2):
        with pytest.raises(RefusedError, match="not built here") as caught:
            trusted_plan(engine, trust_foreign=False)
        assert "--trust-engine" in caught.value.hint
        assert trusted_plan(engine, trust_foreign=True) == PLAN
    assert not was_built_here(engine.record.plan_sha256)


def test_a_plan_that_changes_after_it_was_read_is_not_given(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    remember_built(engine.record.plan_sha256)
    engine.path.write_bytes(PLAN[:-1] + b"\0")
    for trust_foreign in (False, True):
        with pytest.raises(DataError, match="damaged"):
            trusted_plan(engine, trust_foreign=trust_foreign)
    engine.path.unlink()
    with pytest.raises(MissingInputError):
        trusted_plan(engine, trust_foreign=True)


@posix
def test_the_folder_is_of_the_user_alone(home: Path) -> None:
    folder = engine_cache()
    assert folder.is_relative_to(home)
    assert (folder.stat().st_mode & 0o777, (folder / "built").stat().st_mode & 0o777) == (0o700, 0o700)
    assert engine_cache() == folder


@posix
@pytest.mark.parametrize("part", ["", "built"])
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755])
def test_a_folder_that_others_can_use_is_refused(part: str, mode: int) -> None:
    folder = engine_cache()
    (folder / part).chmod(mode)
    with pytest.raises(RefusedError, match="not yours alone"):
        engine_cache()
    (folder / part).chmod(0o700)


@posix
def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_cache()
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(RefusedError) as caught:
        engine_cache()
    assert "you are 12345" in caught.value.cause


@posix
def test_a_link_in_place_of_the_folder_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (home / "unetctl").mkdir(parents=True)
    (home / "unetctl" / "engines").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError) as caught:
        engine_cache()
    assert "link" in caught.value.cause


def test_a_home_that_cannot_be_written_is_an_answer(home: Path) -> None:
    home.write_text("a file in its place")
    with pytest.raises(StorageError, match="cannot be made"):
        engine_cache()
