"""One build at a time, and nothing that a killed one left."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from unetctl.runtime import engine_lock
from unetctl.runtime.engine_lock import TRIAL, only_build
from unetctl.runtime.engine_trust import engine_cache
from unetctl.runtime.system import lock_file


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(engine_lock, "WAIT_SECONDS", 0.01)


def test_a_build_waits_for_that_of_another_process_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    other = lock_file(engine_cache() / "lock")
    assert other is not None
    begun = threading.Event()

    def build() -> None:
        with only_build():
            begun.set()

    waiting = threading.Thread(target=build)
    waiting.start()
    assert not begun.wait(0.2)
    other.close()  # as the system does when a process dies
    waiting.join(60)
    assert begun.is_set()
    assert caplog.text.count("another process is building") == 1


def test_builds_of_one_process_do_not_overlap_and_none_is_left_out() -> None:
    inside: list[int] = []
    most: list[int] = []

    def build(number: int) -> None:
        with only_build():
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert most == [1] * 4


def test_what_a_killed_build_left_is_removed_and_nothing_else() -> None:
    folder = engine_cache()
    (folder / f"{TRIAL}abc").mkdir()
    (folder / f"{TRIAL}abc" / "cells.engine").write_bytes(b"a plan")
    (folder / "cells.engine").write_bytes(b"a plan")
    with only_build():
        (folder / f"{TRIAL}ours").mkdir()
    assert {one.name for one in folder.iterdir()} == {"built", "lock", "cells.engine", f"{TRIAL}ours"}
