"""How fast `unetctl segment` is from file to file: `python -m benchmarks.speed FOLDER`.

On one slide, with one network, by turns, each in a process of its own:

    bare       the tiles of the plan, ready in memory, one by one through the library itself (`benchmarks.bare`)
    segment    the whole command: read, decode, mirror, network, stitch, compress, pyramid, publish
    loop       what most people write, in PyTorch (`benchmarks.hand_written`)
    peak       what the processor can do: a product of matrices (`benchmarks.matrix_peak`)

`bare` and `segment` label the same pixels with the same tiles and threads, so their ratio is what the pipeline costs;
both are counted without their start-up. `segment` over `loop` is by the wall clock, start-up included. FOLDER keeps the
network, the slide and speed.json; a second call takes the network and the slide as they are.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.record import table, where, write_record
from benchmarks.speed_models import made_slide, trained_models
from benchmarks.speed_runs import Contestant, FailedError, bare, hand_written, matrix_peak, segment

ENGINES = (
    ("onnxruntime", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("onnxruntime", "int8"),
    ("openvino", "int8"),
)
LOOP, PEAK = "hand-written loop", "matrix product"


def contestants(plain: Path, quantised: Path, slide: Path) -> list[Contestant]:
    """Return the engines that take the models here; the first run, which is not counted, fills caches."""
    found = []
    for engine, precision in ENGINES:
        one = Contestant(engine=engine, precision=precision, model=quantised if precision == "int8" else plain)
        try:
            segment(one, slide)
        except FailedError as error:
            print(f"# left out: {one.name}: {error}", flush=True)
        else:
            found.append(one)
    return found


def measure_round(engines: Sequence[Contestant], slide: Path, checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Run everything once, by turns."""
    result: dict[str, Any] = {PEAK: matrix_peak()}
    for one in engines:
        ended, report = segment(one, slide)
        result[one.name] = {"segment": {**asdict(ended), "output": report}, "bare": bare(one, report, folder)}
    result[LOOP] = hand_written(slide, checkpoint, folder)
    return result


def spread(values: Sequence[float], decimals: int) -> str:
    """Return the median, and in brackets the lowest and the highest."""
    low, middle, high = (f"{one:.{decimals}f}" for one in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def speed_table(rounds: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown table, ratios first; medians and spread over the rounds."""
    header = ["", "segment / bare", "network at work", "times the loop", "segment", "bare", "wall, s", "peak, MB"]
    rows = []
    for name in [one for one in rounds[0] if one not in (LOOP, PEAK)]:
        ours = [one[name]["segment"] for one in rounds]
        speeds = [one["output"]["mpx_per_second"] for one in ours]
        bares = [one[name]["bare"]["mpx_per_second"] for one in rounds]
        gains = [one[LOOP]["seconds"] / one[name]["segment"]["seconds"] for one in rounds]
        rows.append(
            [
                name,
                spread([mine / full for mine, full in zip(speeds, bares, strict=True)], 3),
                spread([one["output"]["engine_share"] for one in ours], 3),
                spread(gains, 1),
                spread(speeds, 3),
                spread(bares, 3),
                spread([one["seconds"] for one in ours], 1),
                f"{max(one['output']['peak_memory_bytes'] for one in ours) / 1e6:,.0f}",
            ]
        )
    loops = [one[LOOP] for one in rounds]
    wall, peak = spread([one["seconds"] for one in loops], 1), max(one["peak_memory_bytes"] for one in loops) / 1e6
    rows.append([f"{LOOP}, fp32", "", "", "1", "", "", wall, f"{peak:,.0f}"])
    return table(header, rows)


def main() -> None:
    """Measure all rounds, and print the table after the last."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-channels", type=int, default=32, metavar="N")
    parser.add_argument(
        "--steps", type=int, default=400, metavar="N", help="of training, so that labels mean something"
    )
    parser.add_argument("--side", type=int, default=4096, metavar="PX")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    checkpoint, plain, quantised = trained_models(folder, options.base_channels, options.steps)
    slide = made_slide(folder, options.side)
    engines = contestants(plain, quantised, slide)
    rounds: list[dict[str, Any]] = []
    for _ in range(options.rounds):
        rounds.append(measure_round(engines, slide, checkpoint, folder))
        libraries = {name: version(name) for name in sorted({one.engine for one in engines})}
        settings = {**vars(options), "folder": options.folder.name, "libraries": libraries}
        write_record(folder / "speed.json", results=rounds, settings=settings, seeds=[0], commands=[])
        print(f"# round {len(rounds)} of {options.rounds}", flush=True)
    peaks = {one: spread([found[PEAK][one] for found in rounds], 0) for one in rounds[0][PEAK]}
    print(f"\n{where()}")
    print(f"{options.side} x {options.side} px, {options.base_channels} channels, Mpx/s; {options.rounds} rounds")
    print(f"{PEAK}, GFLOP/s: {', '.join(f'{name} {text}' for name, text in peaks.items())}\n")
    print(speed_table(rounds))


if __name__ == "__main__":
    main()
