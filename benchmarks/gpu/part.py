"""One part of `benchmarks.gpu` in a process of its own: `python -m benchmarks.gpu.part PART SETTINGS ROWS SECONDS`.

A part that hangs, or that takes the driver down, is ended by its parent; the rows that it wrote stay. PART is `peaks`,
`exactness`, or `first` or `rest` of the speed of one engine, as `first:torch`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.gpu.engines import Found, find_engines
from benchmarks.gpu.exactness import exactness_measurements
from benchmarks.gpu.peaks import peak_measurements
from benchmarks.gpu.rows import Clock, Row, append_row, measured
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.speed import speed_measurements

PEAKS, EXACTNESS = "peaks", "exactness"
ENGINE, NOT_AN_ENGINE = "engine", "no engine"
"""Names of the rows that say what can be measured here; they come before the peaks."""


def rows_of(part: str, settings: Settings, clock: Clock) -> Iterator[Row]:
    """Yield the rows of a part."""
    found, left_out = find_engines(settings)
    if part == PEAKS:
        yield from ({"name": ENGINE, **asdict(one)} for one in found)
        yield from ({"name": NOT_AN_ENGINE, "engine": name, "left_out": why} for name, why in left_out.items())
        yield from measured(peak_measurements(settings), clock)
    elif part == EXACTNESS:
        yield from measured(exactness_measurements(settings, found), clock)
    else:
        which, name = part.split(":")
        yield from measured(speed_measurements(settings, _named(found, name), which), clock)


def _named(found: list[Found], name: str) -> Found:
    return next(one for one in found if one.engine == name)


def main() -> None:
    """Write the rows of one part to a file, each as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.part", description=__doc__.splitlines()[0])
    parser.add_argument("part")
    parser.add_argument("settings", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    settings = Settings.from_json(options.settings.read_text(encoding="utf-8"))
    for row in rows_of(options.part, settings, Clock(options.seconds)):
        append_row(options.rows, row)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
