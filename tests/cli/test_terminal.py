"""Whole processes in odd surroundings: no reader, no home, no UTF-8, a signal in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-c", "from unetctl.cli.main import main; main()")

posix = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: Windows has other signals and pipes")


def surroundings(**changes: str | None) -> dict[str, str]:
    """Return the environment with some variables set, and those that are None left out."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def ended(*words: str, cwd: Path, **changes: str | None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], cwd=cwd, env=surroundings(**changes), capture_output=True, timeout=60)


@posix
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -c 'from unetctl.cli.main import main; main()' init p | head -n 1"
    said = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, capture_output=True, timeout=60)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"p\n", b"next: cd p\n      unetctl train\n")


@posix
def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -c 'from unetctl.cli.main import main; main()' init p >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], cwd=tmp_path, timeout=60).returncode == 0


@posix
def test_a_full_disk_behind_a_pipe_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("NOT RUN: this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        said = subprocess.run([*COMMAND, "init", "p"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert said.returncode == 74
    assert said.stderr.startswith(b"error: ")
    assert b"Traceback" not in said.stderr


@posix
@pytest.mark.parametrize(
    "changes",
    [
        {"HOME": None, "XDG_STATE_HOME": None},
        {"HOME": "/proc/none"},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        {"TERM": "dumb", "NO_COLOR": "1"},
        {"COLUMNS": "1"},
    ],
    ids=["no home", "home that is none", "C", "dumb", "narrow"],
)
def test_odd_surroundings_change_nothing(tmp_path: Path, changes: dict[str, str | None]) -> None:
    made = ended("init", "M\u00fcll \U0001f52c x", cwd=tmp_path, **changes)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "M\u00fcll \U0001f52c x" / "unetctl.toml").is_file()
    missing = ended("inspect", "M\u00fcll.tif", cwd=tmp_path, **changes)
    assert missing.returncode == 66
    assert b"Traceback" not in missing.stderr


@posix
@pytest.mark.parametrize("name", [b"\xff\xfe.tif", b"a\nb.tif", b"-x.tif", b"x" * 255, b"%00.tif", b"' \".tif"])
def test_any_name_is_answered(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"no image")
    said = subprocess.run(
        [*(os.fsencode(one) for one in COMMAND), b"inspect", b"--", name], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert said.returncode == 65, said.stderr
    assert said.stderr.startswith(b"error: ")
    assert b"Traceback" not in said.stderr


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_works_ends_cleanly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    waiting = (
        "import time; from unetctl.cli import doctor; from unetctl.cli.main import main\n"
        "doctor.engine_statuses = lambda: (print('begun', flush=True), time.sleep(60))\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", waiting, "doctor"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(number)
    begun = time.monotonic()
    _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert time.monotonic() - begun < 15
    assert len(said.splitlines()) == 1


@posix
def test_a_second_request_stops_at_once(tmp_path: Path) -> None:
    stubborn = (
        "import time; from unetctl.cli import doctor; from unetctl.cli.main import main\n"
        "def work():\n"
        "    try:\n        print('begun', flush=True); time.sleep(60)\n"
        "    finally:\n        print('cleaning', flush=True); time.sleep(60)\n"
        "doctor.engine_statuses = work\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn, "doctor"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"cleaning\n"
    process.send_signal(signal.SIGINT)  # a wrapper hands on what the terminal has sent: still one request
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=2)
    assert process.returncode == 130
