"""The run folder: one run at a time, nothing left behind, nothing of others touched."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unetctl.runtime.errors import MissingInputError, OutputError
from unetctl.runtime.run_folder import RunFolder, run_folder, run_folder_of

HOLD = """
import sys, time
from pathlib import Path
from unetctl.runtime.run_folder import run_folder
with run_folder(Path(sys.argv[1])) as folder:
    (folder.path / "chunks.bin").write_bytes(b"half")
    print("held", flush=True)
    time.sleep(60)
"""


def hold(output: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the run folder of `output`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_folder_is_gone_when_the_run_ends_or_fails_with_nothing_done(tmp_path: Path) -> None:
    output = tmp_path / "a.tif"
    with run_folder(output) as folder:
        assert folder.path == run_folder_of(output)
        (folder.path / "chunks.bin").write_bytes(b"x")
        folder.has_work = True
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), run_folder(output):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_work_outlives_a_failure_and_half_a_result_does_not(tmp_path: Path) -> None:
    output = tmp_path / "a.tif"
    names = ("journal.bin", "chunks.bin", "run.json", "result.ome.tif", ".run.json.x.part", "trace.json")
    left = {"lock", "journal.bin", "chunks.bin", "run.json"}

    def fail(folder: RunFolder) -> None:
        for name in names:
            (folder.path / name).write_bytes(b"x")
        folder.has_work = True
        raise RuntimeError

    with pytest.raises(RuntimeError), run_folder(output) as folder:
        fail(folder)
    assert {one.name for one in folder.path.iterdir()} == left
    with pytest.raises(RuntimeError), run_folder(output):  # of one that does not get to look into it
        raise RuntimeError
    assert {one.name for one in folder.path.iterdir()} == left
    with run_folder(output):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    output = tmp_path / "a.tif"
    with hold(output) as process:
        try:
            with pytest.raises(OutputError, match=f"process {process.pid}"), run_folder(output):
                pass
        finally:
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="NOT RUN: SIGKILL is POSIX")
def test_what_a_killed_run_left_is_there_for_the_next(tmp_path: Path) -> None:
    output = tmp_path / "a.tif"
    with hold(output) as process:
        process.send_signal(signal.SIGKILL)
    assert (run_folder_of(output) / "chunks.bin").exists()

    with run_folder(output) as folder:
        assert (folder.path / "chunks.bin").read_bytes() == b"half"
        assert not folder.has_work  # without a record of it
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_anything_else_in_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = run_folder_of(tmp_path / "a.tif")
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "mine.txt").write_text("mine")
    (folder / "chunks.bin").write_bytes(b"theirs")
    with pytest.raises(OutputError, match="holds notes"), run_folder(tmp_path / "a.tif"):
        pass

    assert (folder / "notes" / "mine.txt").read_text() == "mine"
    assert (folder / "chunks.bin").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no folder"), run_folder(tmp_path / "not" / "a.tif"):
        pass
