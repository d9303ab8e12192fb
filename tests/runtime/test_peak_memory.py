"""The peak that a run reports is its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="NOT RUN: no peak in /proc")

REPORT = "from unetctl.runtime.system import peak_memory_bytes; {before}; print(peak_memory_bytes())"
FROM_A_LARGE_PROCESS = """
import subprocess, sys
large = b"x" * 400_000_000
print(subprocess.run([sys.executable, "-c", sys.argv[1]], capture_output=True, text=True).stdout)
"""


def peak_of(*command: str) -> int:
    return int(subprocess.run([sys.executable, "-c", *command], capture_output=True, text=True, check=True).stdout)


def test_it_is_not_that_of_the_process_that_started_the_run() -> None:
    assert peak_of(FROM_A_LARGE_PROCESS, REPORT.format(before="pass")) < 200_000_000


def test_what_was_given_back_still_counts() -> None:
    assert peak_of(REPORT.format(before="large = b'x' * 400_000_000; del large")) > 400_000_000
