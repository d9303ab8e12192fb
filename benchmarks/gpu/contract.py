"""The tests that every engine is held to, run by pytest in a process of its own, with a limit of time.

Which files: those that hold an engine to `tests/engine_contract.py`, and the exactness of tiles. What was not reached
when the time was up is not counted; what was, is.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

from benchmarks.gpu.process import run_within
from benchmarks.gpu.rows import Row, lacking
from benchmarks.gpu.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NEEDS = ("pytest", "hypothesis", "torch", "safetensors", "onnx", "onnxscript")
"""What the tests import."""
OUTCOME = re.compile(r"^(?P<test>tests/\S+::.+?) (?P<outcome>PASSED|FAILED|ERROR|SKIPPED)(?: \((?P<why>.*)\))?(?:\s|$)")
NOT_COLLECTED = re.compile(r"^ERROR (?P<why>tests/\S+\.py(?: - .*)?)$")
NAME = "contract tests"


def contract_files(root: Path = ROOT) -> list[str]:
    """Return the test files, relative to the root."""
    tests = root / "tests"
    found = [path for path in sorted(tests.rglob("test_*.py")) if "(EngineContract)" in path.read_text("utf-8")]
    return [path.relative_to(root).as_posix() for path in (*found, tests / "runtime/test_exactness.py")]


def contract_row(settings: Settings, seconds: float) -> Row:
    """Run the tests for at most so many seconds, and return what came of them."""
    if missing := lacking(NEEDS):
        return {"name": NAME, "left_out": f"not installed: {', '.join(missing)}"}
    log = settings.folder / "pytest.log"
    # Warnings of versions that this project does not pin are no failures of an engine.
    options = ["-v", "-p", "no:cacheprovider", "-W", "default", "--color=no", "-k", settings.tests]
    options += ["--continue-on-collection-errors"]  # a file that lacks a package takes no other with it
    command = [sys.executable, "-m", "pytest", *options, *contract_files()]
    environment = {**os.environ, "COLUMNS": "400"}
    ended = run_within(command, seconds, log=log, folder=ROOT, environment=environment)
    return {"name": NAME, **outcomes(log.read_text("utf-8", errors="replace")), "finished": ended.finished}


def outcomes(log: str) -> Row:
    """Count what pytest said of each test: `passed`, `failed` by name, `skipped` by reason, with files not imported."""
    found = [match for line in log.splitlines() if (match := OUTCOME.match(line))]
    failed = [one["test"] for one in found if one["outcome"] in ("FAILED", "ERROR")]
    skipped = Counter(one["why"] or "no reason" for one in found if one["outcome"] == "SKIPPED")
    skipped.update(match["why"] for line in log.splitlines() if (match := NOT_COLLECTED.match(line)))
    passed = sum(one["outcome"] == "PASSED" for one in found)
    if not found:
        return {"failed": f"no test ran: {log.strip()[-300:]}"}
    return {"passed": not failed, "tests_passed": passed, "tests_failed": failed, "tests_skipped": dict(skipped)}
