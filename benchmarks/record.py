"""What a benchmark leaves behind: its figures as JSON, with all that is needed to repeat them, and Markdown tables."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unetctl.runtime.system import processors, write_atomically
from unetctl.trainer.machine import choose_machine

PACKAGES = ("unetctl", "torch", "numpy", "scipy", "scikit-image")


def write_record(
    path: Path, *, results: Any, settings: dict[str, Any], seeds: Sequence[int], commands: Sequence[str]
) -> None:
    """Write the figures of a benchmark, with how, where and when they were come by; NaN becomes null.

    Written anew after every part of a long benchmark, so that one that is stopped leaves what it has.
    """
    record = {
        "benchmark": typed_command(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "commit": commit(),
        "seeds": list(seeds),
        "commands": list(commands),
        "settings": settings,
        "results": _without_nan(results),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(record, indent=2, allow_nan=False) + "\n").encode())


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def typed_command() -> str:
    """Return the command that runs, as it was typed."""
    main = sys.modules["__main__"].__spec__
    program = f"python -m {main.name}" if main is not None else Path(sys.argv[0]).name
    return " ".join([program, *sys.argv[1:]])


def machine() -> dict[str, Any]:
    """Return what computes: the device that training takes, cores, and the threads that the environment allows."""
    return {
        "device": choose_machine("auto").name,
        "cores": processors(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "platform": platform.platform(),
    }


def where() -> str:
    """Return what computes in a few words, for titles and above tables."""
    found = machine()
    threads = found["OMP_NUM_THREADS"]
    return f"{found['device']}{f', {threads} of them used' if threads else ''}"


def commit() -> str | None:
    """Return the commit of the checkout, with `+` where files differ from it; None outside of git."""
    folder = Path(__file__).resolve().parent
    found = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=folder, capture_output=True, text=True)
    return found.stdout.strip() or None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean_and_spread(values: Sequence[float], decimals: int = 4) -> str:
    """Return the mean, and for several values their standard deviation (n - 1): `0.0911 ± 0.0007`."""
    mean = f"{statistics.mean(values):.{decimals}f}"
    return f"{mean} ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else mean


def grouped(results: Sequence[dict[str, Any]], key: str) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Return the results by their value of `key`, in its order."""
    return [(value, [one for one in results if one[key] == value]) for value in sorted({one[key] for one in results})]
