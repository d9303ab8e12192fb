"""What parts of the recipe are worth: `python -m benchmarks.ablation FOLDER`, on touching cells in phase contrast.

The same recipe without elastic deformation, without border weights, without other parts of the augmentation and without
any of it, on the cells of Usiigaci (Tsai et al. 2019): thin, touching, 16 bits. The rule is fixed, and is that of the
data's own folders:

    train/set1, train/set30     108 cells   training
    val/set46                    73 cells   chooses the weights and what is cleaned away
    val/set47                    49 cells   scored

`--folds 2` also trains with the two of val/ in each other's place; the scores of both are then told together.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import imagecodecs
import tifffile

from benchmarks.object_scores import choose_cleaning, cleaned, predicted_objects, score_objects
from benchmarks.project_runs import Sections, add_training_options, chosen_settings, make_project, merged, train_once
from benchmarks.record import mean_and_spread, table, where, write_record
from benchmarks.whole_image import load_placed
from tests.data import shared_data
from unetctl.trainer.settings import AugmentConfig

MEASURES = {"seg": "SEG", "ap50": "AP50", "dice": "Dice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Which images do what."""

    train: tuple[str, ...] = ("set1", "set30")
    chooses: str
    scored: str


FOLDS = (Fold(chooses="set46", scored="set47"), Fold(chooses="set47", scored="set46"))

NO_AUGMENTATION = {one.name: False if one.type in (bool, "bool") else 0.0 for one in fields(AugmentConfig)}
"""Every key of [augment]; 0 and false leave each of them out."""

VARIANTS: dict[str, Sections] = {
    "full recipe": {},
    "without elastic deformation": {"augment": {"elastic_px": 0.0}},
    "without border weights": {"train": {"border_weight": 0.0}},
    "without turns and flips": {"augment": {"rotation_deg": 0.0, "flips": False}},
    "without blur and gray values": {"augment": {"blur_px": 0.0, "contrast": 0.0, "brightness": 0.0}},
    "without any augmentation": {"augment": NO_AUGMENTATION},
}


def prepare(data: Path, folder: Path) -> None:
    """Copy the pairs to `folder`/images and labels, under the names of their sets."""
    for kind, name in (("images", "raw.tif"), ("labels", "instances_ids.png")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for source in (data / "usiigaci-phase-contrast").glob(f"*/*/{name}"):
            shutil.copyfile(source, folder / kind / f"{source.parent.name}{source.suffix}")


def project_sections(folder: Path, fold: Fold) -> Sections:
    """Return the project of a fold; the image that is scored is in no part of it."""
    return {
        "project": {"name": "touching-cells"},
        "data": {
            "images": (folder.resolve() / "images").as_posix(),
            "labels": (folder.resolve() / "labels").as_posix(),
            "kind": "instances",
            "normalise": "image",
            "train": list(fold.train),
            "validation": [fold.chooses],
        },
    }


def score_fold(model: Path, folder: Path, fold: Fold) -> dict[str, Any]:
    """Choose the cleaning on one image of a fold and score the other."""
    checkpoint = load_placed(model)
    truths, found = {}, {}
    for name in (fold.chooses, fold.scored):
        truths[name] = imagecodecs.imread(folder / "labels" / f"{name}.png")
        found[name] = predicted_objects(checkpoint, tifffile.imread(folder / "images" / f"{name}.tif"))
    cleaning = choose_cleaning([truths[fold.chooses]], [found[fold.chooses]])
    scores = score_objects([truths[fold.scored]], [cleaned(found[fold.scored], cleaning)])
    return {**asdict(fold), "cleaning": asdict(cleaning), "scores": asdict(scores)}


def train_variant(data_folder: Path, name: str, fold: Fold, seed: int, settings: Sections) -> dict[str, Any]:
    """Train a variant with one seed and return the figures of that run; settings are below those of the variant."""
    project = data_folder.parent / f"{name.replace(' ', '-')}-{fold.scored}"
    make_project(project, merged(project_sections(data_folder, fold), settings, VARIANTS[name]))
    run = train_once(project, seed=seed)
    about = {"variant": name, "seed": seed, "steps": run.metrics["steps"], "wall_seconds": run.wall_seconds}
    return {**about, "command": run.command, **score_fold(run.model, data_folder, fold)}


def ablation_table(results: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown table: mean and spread over the seeds, of means over the folds, and the change they make."""

    def by_seed(name: str, measure: str) -> list[float]:
        runs = [one for one in results if one["variant"] == name]
        return [
            statistics.mean(one["scores"][measure] for one in runs if one["seed"] == seed)
            for seed in sorted({one["seed"] for one in runs})
        ]

    names = [name for name in VARIANTS if any(one["variant"] == name for one in results)]
    rows = []
    for name in names:
        cells = []
        for measure in MEASURES:
            values, full = by_seed(name, measure), by_seed(names[0], measure)
            change = f" ({statistics.mean(values) - statistics.mean(full):+.3f})" if name != names[0] else ""
            cells.append(mean_and_spread(values, 3) + change)
        rows.append([name, *cells])
    return table(["", *MEASURES.values()], rows)


def main() -> None:
    """Train and score all variants, and show them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__.splitlines()[0])
    add_training_options(parser)
    parser.add_argument("--steps", type=int, metavar="N", help="[train] steps, of every run")
    parser.add_argument("--folds", type=int, choices=(1, 2), default=1)
    parser.add_argument(
        "--variants", nargs="+", choices=tuple(VARIANTS), default=tuple(VARIANTS), metavar="NAME", help="default: all"
    )
    arguments = parser.parse_args()
    data = shared_data()
    if data is None or not (data / "usiigaci-phase-contrast").exists():
        sys.exit("NOT RUN: the data are missing; set UNETCTL_DATA to the folder that holds usiigaci-phase-contrast")
    settings = chosen_settings(arguments)
    data_folder = arguments.folder / "data"
    prepare(data, data_folder)
    results: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for fold in FOLDS[: arguments.folds]:
            for name in arguments.variants:
                results.append(train_variant(data_folder, name, fold, seed, settings))
                write_record(
                    arguments.folder / "ablation.json",
                    results=results,
                    settings={"unetctl.toml": settings, "precision": "fp32"},
                    seeds=arguments.seeds,
                    commands=[one["command"] for one in results],
                )
    print(f"\n{where()}; {results[0]['steps']} steps each, seeds {', '.join(map(str, arguments.seeds))}\n")
    print(ablation_table(results))


if __name__ == "__main__":
    main()
