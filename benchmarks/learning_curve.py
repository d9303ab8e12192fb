"""What few annotated slices are worth: `python -m benchmarks.learning_curve FOLDER`, with the ISBI 2012 membranes.

The same recipe and the same number of steps on 1, 3, 6 and 15 of the slices 0-14, spread evenly. In all of them slices
15-17 choose the weights and the thresholds, and 18-23 are scored once, so that only what is learned from differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.membrane_data import CLASSES, TRAIN, membrane_sections
from benchmarks.membrane_protocol import MEASURES
from benchmarks.membrane_scores import PROTOCOL, as_json, score_checkpoint
from benchmarks.plots import draw_curve
from benchmarks.project_runs import (
    Sections,
    add_training_options,
    chosen_settings,
    make_project,
    merged,
    train_once,
)
from benchmarks.record import grouped, mean_and_spread, table, where, write_record
from benchmarks.whole_image import load_placed
from tests.data import shared_data

SHOWN = ("pixel_error_f_score", "rand_error", "rand_error_thinned", "splits_and_mergers")
DRAWN = "pixel_error_f_score"


def spread_evenly(count: int, of: Sequence[int] = TRAIN) -> tuple[int, ...]:
    """Return `count` of the slices, the middles of as many equal parts: 7 of 0-14; 2, 7, 12; 1, 3, 6, 8, 11, 13."""
    if not 1 <= count <= len(of):
        sys.exit(f"--slices {count}: there are {len(of)} to choose from")
    return tuple(of[(2 * part + 1) * len(of) // (2 * count)] for part in range(count))


def train_and_score(folder: Path, data: Path, slices: int, seed: int, settings: Sections) -> dict[str, Any]:
    """Train on `slices` slices with one seed and return the figures of that run."""
    chosen = spread_evenly(slices)
    project = folder / f"slices{slices}"
    make_project(project, merged(membrane_sections(data, chosen), settings), CLASSES)
    run = train_once(project, seed=seed)
    scores = score_checkpoint(load_placed(run.model), data, ways=("plain",))
    return {
        "slices": slices,
        "trained_on": list(chosen),
        "seed": seed,
        "steps": run.metrics["steps"],
        "wall_seconds": run.wall_seconds,
        "command": run.command,
        "scores": as_json(scores)["plain"],
    }


def curve_table(results: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown table: a row for each number of slices, mean and spread over the seeds."""
    shown = [one for one in MEASURES if one.key in SHOWN]
    rows = []
    for slices, runs in grouped(results, "slices"):
        cells = [mean_and_spread([run["scores"][one.key]["test"] for run in runs], one.decimals) for one in shown]
        rows.append([str(slices), ", ".join(map(str, runs[0]["trained_on"])), *cells])
    return table(["annotated slices", "which", *(one.name for one in shown)], rows)


def main() -> None:
    """Train and score all runs, and show them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve", description=__doc__.splitlines()[0])
    add_training_options(parser)
    parser.add_argument("--steps", type=int, metavar="N", help="[train] steps, of every run")
    parser.add_argument("--slices", type=int, nargs="+", default=[1, 3, 6, 15], metavar="N")
    arguments = parser.parse_args()
    data = shared_data()
    if data is None:
        sys.exit("NOT RUN: the data are missing; set UNETCTL_DATA to the folder that holds isbi2012-em")
    settings = chosen_settings(arguments)
    results: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for slices in arguments.slices:
            results.append(train_and_score(arguments.folder, data, slices, seed, settings))
            write_record(
                arguments.folder / "learning_curve.json",
                results=results,
                settings={**PROTOCOL, "unetctl.toml": settings},
                seeds=arguments.seeds,
                commands=[one["command"] for one in results],
            )
    draw_curve(
        arguments.folder / "learning_curve.png",
        {
            "": [
                [(one["slices"], one["scores"][DRAWN]["test"]) for one in runs]
                for _, runs in grouped(results, "slices")
            ]
        },
        title="ISBI 2012 membranes, slices 18-23",
        x_name="annotated slices that were trained on",
        y_name=next(one.name for one in MEASURES if one.key == DRAWN),
        levels={"the paper, 30 slices, on the test stack": 0.0611},
    )
    print(f"\n{where()}; {results[0]['steps']} steps each, seeds {', '.join(map(str, arguments.seeds))}\n")
    print(curve_table(results))


if __name__ == "__main__":
    main()
