"""Whether the network is what takes the time: `python -m benchmarks.share FOLDER --base-channels 32 --colour rgb`.

`unetctl segment --profile` from file to file with every engine, by turns: the part of the time, start-up apart, in
which the network was at work, what it waited for, and the processor seconds of each stage. Slides are of 8192 px, and
of half of that for fp32; gray and deflated, or in colour and JPEG. FOLDER is that of `benchmarks.speed`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.record import table, where, write_record
from benchmarks.speed import ENGINES, spread
from benchmarks.speed_models import COLOURS, made_slide, trained_models
from benchmarks.speed_runs import Contestant, FailedError, segment

STAGES = ("read", "network", "write", "finish")


def share_table(rounds: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown table: medians and spread over the rounds."""
    header = ["", "image", "network at work", "it waited, s", "Mpx/s", "whole, s"]
    header += [f"{stage}, core s" for stage in STAGES]
    rows = []
    for name in rounds[0]:
        runs = [one[name]["output"] for one in rounds if name in one]
        sides = " x ".join(map(str, runs[0]["image_yx"]))
        seconds = [one["seconds"] for one in runs]
        cores = [{stage["stage"]: stage["processor"] for stage in one["profile"]["stages"]} for one in runs]
        rows.append(
            [
                name,
                sides,
                spread([one["engine_share"] for one in runs], 3),
                spread([one["network_waited"] for one in seconds], 2),
                spread([one["mpx_per_second"] for one in runs], 2),
                spread([one["total"] - one["start"] for one in seconds], 1),
                *(spread([one[stage] for one in cores], 1) for stage in STAGES),
            ]
        )
    return table(header, rows)


def main() -> None:
    """Segment with every engine, round after round, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.share", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-channels", type=int, default=32, metavar="N")
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="as for benchmarks.speed")
    parser.add_argument("--colour", choices=COLOURS, default="gray")
    parser.add_argument("--side", type=int, default=8192, metavar="PX", help="fp32 gets half of it")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "int8"], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    parser.add_argument("--prepare", action="store_true", help="make networks and slides, and measure nothing")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    _, plain, quantised = trained_models(folder, options.base_channels, options.steps, options.colour)
    sides = {one: options.side // 2 if one == "fp32" else options.side for one in options.precisions}
    slides = {one: made_slide(folder, side, options.colour) for one, side in sides.items()}
    if options.prepare:
        return
    record = folder / f"share-{options.colour}-{options.base_channels}.json"
    libraries = {name: version(name) for name in ("onnxruntime", "openvino")}
    rounds: list[dict[str, Any]] = []
    for _ in range(options.rounds):
        found: dict[str, Any] = {}
        for engine, precision in ENGINES:
            if precision not in slides:
                continue
            one = Contestant(engine=engine, precision=precision, model=quantised if precision == "int8" else plain)
            try:
                ended, report = segment(one, slides[precision], "--profile")
            except FailedError as error:
                print(f"# left out: {one.name}: {error}", flush=True)
                continue
            found[one.name] = {**asdict(ended), "output": report}
            print(f"# {one.name}: {report['engine_share']:.3f}", flush=True)
        rounds.append(found)
        settings = {**vars(options), "folder": options.folder.name, "libraries": libraries}
        write_record(record, results=rounds, settings=settings, seeds=[0], commands=[])
    print(f"\n{where()}\n{options.colour}, {options.base_channels} channels; {options.rounds} rounds\n")
    print(share_table(rounds))


if __name__ == "__main__":
    main()
