"""Is it right and how fast is it on this NVIDIA GPU? `python -m benchmarks.gpu [FOLDER]`: one JSON file and one table.

    what the card can do     products of matrices in each precision, copies to and from it
    is it right              integer networks bit for bit, golden tiles against PyTorch in fp32
    how fast, first          each engine, the paper's network: bare on ready tiles, and from file to file
    the contract             the tests that every engine is held to
    how fast, the rest       other tiles, batches, precisions and the smaller network, until the time is used up

Whatever of PyTorch, ONNX Runtime and TensorRT runs on the GPU is measured; what does not, and what there was no time
for, is listed with the reason. Each part is a process of its own, so that one that fails or hangs takes nothing with
it. No network and no display are needed. `--rehearse` does the same with tiny networks on the processor.
Exit code 1: an engine gave a wrong result; 69: unetctl is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu.contract import contract_row
from benchmarks.gpu.engines import TORCH
from benchmarks.gpu.machine import StateWatch, libraries, machine
from benchmarks.gpu.process import run_within
from benchmarks.gpu.report import commit, is_wrong, report_text, write_report
from benchmarks.gpu.rows import TIME_IS_UP, Row, read_rows
from benchmarks.gpu.settings import Settings, rehearsal

ROOT = Path(__file__).resolve().parents[2]
PEAKS, EXACTNESS, CONTRACT = "peaks", "exactness", "contract"
MOST_SECONDS = {PEAKS: 60.0, EXACTNESS: 100.0, CONTRACT: 90.0, "first": 130.0}
"""Of a part, and never more than half of what is left; the rest of the speed shares what then is left."""
LEAST_SECONDS = 8.0
"""With less left a part is not begun: it would not get beyond its imports."""
GRACE_SECONDS = 10.0
"""For the measurement that was begun in time."""
UNAVAILABLE = 69
"""The exit code of unetctl where something is not installed."""


def measure_all(settings: Settings, seconds: float, on_row: Callable[[Row], None]) -> None:
    """Run the parts one after another within `seconds`; `on_row` is given each row when it is there."""
    ends = time.monotonic() + seconds
    engines: list[str] = []

    def keep(row: Row) -> None:
        engines.extend([row["engine"]] if row["name"] == "engine" else [])
        on_row(row)

    run_part(PEAKS, settings, MOST_SECONDS[PEAKS], keep)
    parts = [EXACTNESS, *(f"first:{one}" for one in engines), CONTRACT, *(f"rest:{one}" for one in engines)]
    for index, part in enumerate(parts if engines else []):
        left = ends - time.monotonic()
        kind = part.split(":")[0]
        limit = min(left / 2, MOST_SECONDS[kind]) if kind in MOST_SECONDS else left / (len(parts) - index)
        if limit < LEAST_SECONDS:
            on_row({"part": part, "name": part, "left_out": TIME_IS_UP})
        elif part == CONTRACT:
            on_row({"part": part, **contract_row(settings, limit)})
        else:
            run_part(part, settings, limit, on_row)


def run_part(part: str, settings: Settings, seconds: float, on_row: Callable[[Row], None]) -> None:
    """Run one part in a process of its own, and give its rows, and one more if it did not end well."""
    name = part.replace(":", "-")
    settings_file, rows, log = (settings.folder / f"{name}.{kind}" for kind in ("settings.json", "rows", "log"))
    settings_file.write_text(settings.to_json(), encoding="utf-8")
    cache = str(settings.folder / "cache")  # engines that are built leave nothing behind
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "LOCALAPPDATA": cache}
    command = [sys.executable, "-m", "benchmarks.gpu.part", part, str(settings_file), str(rows), str(seconds)]
    seen = 0

    def look() -> None:
        nonlocal seen
        found = read_rows(rows)
        for row in found[seen:]:
            on_row({"part": part, **row})
        seen = len(found)

    limit = seconds + GRACE_SECONDS
    ended = run_within(command, limit, log=log, folder=ROOT, environment=environment, on_wait=look)
    look()
    if not ended.finished:
        on_row({"part": part, "name": part, "left_out": f"ended after {limit:.0f} s"})
    elif ended.code:
        on_row({"part": part, "name": part, "failed": f"ended with {ended.code}: {ended.last_words}"})


def main() -> None:
    """Measure, and write the report anew after each row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("benchmarks/results"), help="for the two files")
    parser.add_argument("--seconds", type=float, default=420.0, metavar="N", help="in all, about")
    parser.add_argument("--engines", default="", metavar="NAME,...", help="as torch,onnxruntime-cuda,tensorrt")
    parser.add_argument("--commit", metavar="TEXT", help="for the record, where there is no git to tell it")
    parser.add_argument("--rehearse", action="store_true", help="tiny networks, on the processor")
    options = parser.parse_args()
    if importlib.util.find_spec("unetctl") is None:
        print("unetctl is not installed: pip install . in the checkout, or a wheel: docs/edge.md", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    begun, engines = time.monotonic(), tuple(one for one in options.engines.split(",") if one)
    if unknown := [one for one in engines if one not in known_engines()]:
        parser.error(f"no such engine: {', '.join(unknown)}; there are {', '.join(known_engines())}")
    with TemporaryDirectory(prefix="unetctl-gpu-") as scratch, StateWatch() as watch:
        if options.rehearse:
            settings = rehearsal(scratch, engines)
        else:
            settings = Settings(rehearse=False, scratch=scratch, engines=engines)
        record: dict[str, Any] = {
            "benchmark": f"python -m benchmarks.gpu{' --rehearse' if options.rehearse else ''}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": options.commit or commit(),
            "machine": machine(),
            "libraries": libraries(),
            "settings": settings,
            "rows": [],
        }

        def keep(row: Row) -> None:
            seconds = round(time.monotonic() - begun, 1)
            record["rows"].append(row)
            record.update(gpu_meanwhile=watch.summary(), seconds=seconds)
            write_report(options.folder, record)
            print(f"# {seconds:5.0f} s  {describe(row)}", flush=True)

        measure_all(settings, options.seconds, keep)
        paths = write_report(options.folder, record)
    print(f"\n{report_text(record)}\n\n{paths[0]}\n{paths[1]}")
    if not any(row["name"] == "engine" for row in record["rows"]):
        sys.exit("no engine runs on an NVIDIA GPU here, so nothing was measured; --rehearse measures on the processor")
    sys.exit(1 if any(is_wrong(row) for row in record["rows"]) else 0)


def known_engines() -> tuple[str, ...]:
    """List the names that `--engines` takes."""
    from unetctl.runtime.engines import ENGINES

    return (TORCH, *ENGINES)


def describe(row: Row) -> str:
    """Return a row as a line of progress."""
    about = " ".join(str(row[key]) for key in ("name", "engine", "precision", "network", "kept_yx") if row.get(key))
    for key in ("failed", "left_out"):
        if key in row:
            return f"{about}: {key.replace('_', ' ')}: {row[key]}"
    figures = [f"{key} {row[key]:.3g}" for key in ("mpx_per_second", "tflops", "gigabytes_per_second") if key in row]
    return f"{about}: {', '.join(figures) or ('wrong' if is_wrong(row) else 'done')}"


if __name__ == "__main__":
    main()
