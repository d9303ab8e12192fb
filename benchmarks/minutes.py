"""How soon a network is usable: `python -m benchmarks.minutes FOLDER --minutes 1 5 15 60`, on the ISBI 2012 membranes.

    measured      a short run of the same recipe: seconds a step with validations, and seconds around the steps
    from that     how many steps fit into each budget, so that the learning rate's cycle ends with it
    then          `unetctl train` with so many steps; its wall-clock time is what counts, whatever was planned

A budget is from typing the command to its end. Slices 18-23 are in no part of the projects, and are scored afterwards.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.membrane_data import CLASSES, membrane_sections
from benchmarks.membrane_scores import PROTOCOL, as_json, score_checkpoint
from benchmarks.plots import draw_curve
from benchmarks.project_runs import (
    Run,
    Sections,
    add_training_options,
    chosen_settings,
    make_project,
    merged,
    train_once,
)
from benchmarks.record import grouped, table, where, write_record
from benchmarks.whole_image import load_placed
from tests.data import shared_data

MEASURED_STEPS = 100
"""As many as lie between two validations, so that one of them is in the mean."""
FEWEST_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast the recipe is on this machine."""

    seconds_a_step: float
    """Validations included."""
    seconds_around: float
    """Start, data, and what comes after the last step."""

    def steps_in(self, minutes: float) -> int:
        """Return how many steps end when the minutes do; stops where hardly one would."""
        steps = int((60 * minutes - self.seconds_around) / self.seconds_a_step)
        if steps < FEWEST_STEPS:
            sys.exit(f"--minutes {minutes:g}: {self.seconds_around:.0f} s go to start and end, too few are left")
        return steps


def speed_of(run: Run) -> Speed:
    """Return what a run says of the speed."""
    seconds = float(run.metrics["seconds"])
    return Speed(seconds_a_step=seconds / run.metrics["steps"], seconds_around=max(0.0, run.wall_seconds - seconds))


def train_for(folder: Path, data: Path, name: str, steps: int, seed: int, settings: Sections) -> Run:
    """Train the default recipe, and what `settings` change of it, for so many steps."""
    project = folder / name
    make_project(project, merged(membrane_sections(data), settings, {"train": {"steps": steps}}), CLASSES)
    return train_once(project, seed=seed)


def measure(folder: Path, data: Path, minutes: float, seed: int, speed: Speed, settings: Sections) -> dict[str, Any]:
    """Train within a budget and return the figures of the run."""
    steps = speed.steps_in(minutes)
    run = train_for(folder, data, f"minutes{minutes:g}-steps{steps}", steps, seed, settings)
    scores = score_checkpoint(load_placed(run.model), data, ways=("plain",), families=("pixels",))
    return {
        "minutes_planned": minutes,
        "seed": seed,
        "steps": run.metrics["steps"],
        "best_step": run.metrics["best_step"],
        "wall_seconds": run.wall_seconds,
        "command": run.command,
        "scores": as_json(scores)["plain"],
    }


def minutes_table(results: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown table, a row a run."""
    header = ["planned, min", "took, min:s", "steps", "seed", "pixel error, as labelled", "pixel error, 1 - F-score"]
    rows = [
        [
            f"{one['minutes_planned']:g}",
            "{}:{:02}".format(*divmod(round(one["wall_seconds"]), 60)),
            f"{one['steps']:,}",
            str(one["seed"]),
            *(f"{one['scores'][key]['test']:.4f}" for key in ("pixel_error_arg_max", "pixel_error_f_score")),
        ]
        for one in results
    ]
    return table(header, rows)


def main() -> None:
    """Measure the speed, train within each budget, and show the runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.minutes", description=__doc__.splitlines()[0])
    add_training_options(parser)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 15, 60], metavar="N")
    parser.add_argument("--measured-steps", type=int, default=MEASURED_STEPS, metavar="N")
    arguments = parser.parse_args()
    data, folder = shared_data(), arguments.folder
    if data is None:
        sys.exit("NOT RUN: the data are missing; set UNETCTL_DATA to the folder that holds isbi2012-em")
    settings = chosen_settings(arguments)
    first = train_for(folder, data, "speed", arguments.measured_steps, arguments.seeds[0], settings)
    speed = speed_of(first)
    print(f"\n# {speed.seconds_a_step:.3f} s a step, {speed.seconds_around:.1f} s around the steps", flush=True)
    results: list[dict[str, Any]] = []
    for minutes in sorted(arguments.minutes):
        for seed in arguments.seeds:
            results.append(measure(folder, data, minutes, seed, speed, settings))
            write_record(
                folder / "minutes.json",
                results={"speed": asdict(speed), "runs": results},
                settings={**PROTOCOL, "unetctl.toml": settings},
                seeds=arguments.seeds,
                commands=[first.command, *(one["command"] for one in results)],
            )
    names = {"as labelled": "pixel_error_arg_max", "1 - F-score, threshold from 15-17": "pixel_error_f_score"}
    draw_curve(
        folder / "minutes.png",
        {
            name: [
                [(one["wall_seconds"] / 60, one["scores"][key]["test"]) for one in runs]
                for _, runs in grouped(results, "minutes_planned")
            ]
            for name, key in names.items()
        },
        title=f"ISBI 2012 membranes, slices 18-23; {where()}",
        x_name="minutes from typing unetctl train to its end",
        y_name="pixel error",
        levels={"the paper, 10 hours on a GPU, on the test stack": 0.0611},
    )
    print(f"\n{where()}\n\n{minutes_table(results)}")


if __name__ == "__main__":
    main()
