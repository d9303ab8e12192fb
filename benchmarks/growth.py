"""How time and memory grow with the image: `python -m benchmarks.growth FOLDER`, by turns, in one run.

FOLDER is that of `benchmarks.speed`, whose network is taken. All slides are segmented with the same settings. Time may
grow with the area and no faster; peak memory may not grow.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.record import table, where, write_record
from benchmarks.speed_models import made_slide, trained_models
from benchmarks.speed_runs import Contestant, segment


def main() -> None:
    """Segment every slide once a round, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-channels", type=int, default=32, metavar="N")
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="as for benchmarks.speed")
    parser.add_argument("--sides", type=int, nargs="+", default=[8192, 16384], metavar="PX")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16", "int8"))
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    _, plain, quantised = trained_models(folder, options.base_channels, options.steps)
    model = quantised if options.precision == "int8" else plain
    one = Contestant(engine=options.engine, precision=options.precision, model=model)
    slides = {side: made_slide(folder, side) for side in options.sides}
    segment(one, slides[options.sides[0]])  # fills the cache of compiled models
    runs: dict[int, list[dict[str, Any]]] = {side: [] for side in options.sides}
    for _ in range(options.rounds):
        for side, slide in slides.items():
            ended, report = segment(one, slide)
            runs[side].append({**asdict(ended), "output": report})
            settings = {**vars(options), "folder": options.folder.name}
            write_record(folder / "growth.json", results=runs, settings=settings, seeds=[0], commands=[])
    first = statistics.median(ended["seconds"] for ended in runs[options.sides[0]])
    rows = []
    for side, found in runs.items():
        seconds = statistics.median(ended["seconds"] for ended in found)
        peak = max(ended["output"]["peak_memory_bytes"] for ended in found) / 1e6
        rows.append([f"{side} x {side}", f"{seconds:.1f}", f"{seconds / first:.2f}", f"{peak:,.0f}"])
    print(f"\n{where()}; {one.name}, {options.base_channels} channels\n")
    print(table(["image", "wall, s", "times the first", "peak, MB"], rows))


if __name__ == "__main__":
    main()
