"""From the shell prompt to the file: `python -m benchmarks.startup MODEL IMAGE`, medians of several tries.

`unetctl --help`, and `unetctl segment` of one small image, whose report says where the seconds go. The first run of
each is not counted: it fills the page cache and the cache of compiled models. An interpreter that does nothing is shown
too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.record import table, where
from benchmarks.speed_runs import Contestant, segment, timed


def measure(one: Contestant, image: Path) -> dict[str, float]:
    """Run everything once, and return the seconds by name."""
    program = Path(sys.executable).with_name("unetctl")
    idle, helped = timed([sys.executable, "-c", "pass"]), timed([program, "--help"])
    ended, report = segment(one, image)
    return {
        "an interpreter that does nothing": idle.seconds,
        "`unetctl --help`": helped.seconds,
        "its processor time": helped.processor_seconds,
        "`unetctl segment`": ended.seconds,
        "its processor time, of all cores": ended.processor_seconds,
        "before the run: interpreter, libraries, model": ended.seconds - report["seconds"]["total"],
        **{f"of the run: {part}": value for part, value in report["seconds"].items()},
    }


def main() -> None:
    """Measure, by turns, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16", "int8"))
    parser.add_argument("--tries", type=int, default=7, metavar="N")
    options = parser.parse_args()
    one = Contestant(engine=options.engine, precision=options.precision, model=options.model)
    measure(one, options.image)
    tries = [measure(one, options.image) for _ in range(options.tries)]
    print(f"{where()}; {one.name}; {options.model.name}, {options.image.name}\n")
    rows = []
    for name in tries[0]:
        seconds = [found[name] for found in tries]
        rows.append([name, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"])
    print(table(["", "median, s", "slowest, s"], rows))


if __name__ == "__main__":
    main()
