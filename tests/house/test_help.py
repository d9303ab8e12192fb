"""`unetctl --help` answers at once: under 0.3 s of processor time, and without a heavy library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

resource = pytest.importorskip("resource", reason="NOT RUN: this system does not count a child's processor time")

HEAVY = (
    *("torch", "onnx", "onnxruntime", "onnxscript", "openvino", "tensorrt", "zarr", "scipy", "skimage", "matplotlib"),
    *("tifffile", "imagecodecs", "numpy"),
)
MOST_SECONDS = 0.3

LIST_MODULES = """
import json, sys
sys.argv = ["unetctl", *{arguments!r}]
from unetctl.cli.main import run
try:
    run(sys.argv[1:])
finally:
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


def cpu_seconds(*arguments: str) -> float:
    """Return the processor time, user and system, of one run of Python with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def modules_loaded(*arguments: str) -> set[str]:
    """Return the top-level modules that a run of `unetctl` with these arguments has loaded at its end."""
    script = LIST_MODULES.format(arguments=list(arguments))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_help_takes_less_than_a_third_of_a_second() -> None:
    seconds = min(cpu_seconds("-c", "from unetctl.cli.main import main; main()", "--help") for _ in range(3))
    assert seconds < MOST_SECONDS, f"unetctl --help took {seconds:.2f} s of processor time"


def test_a_seeded_slow_import_is_noticed() -> None:
    assert cpu_seconds("-c", "import torch") > MOST_SECONDS


def test_help_loads_nothing_heavy() -> None:
    for arguments in (("--help",), *((name, "--help") for name in ("segment", "tune", "train", "export"))):
        loaded = modules_loaded(*arguments)
        assert "typer" in loaded
        assert not loaded & set(HEAVY), f"unetctl {' '.join(arguments)}"
