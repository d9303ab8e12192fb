"""Cells of the paper's own film: `python -m benchmarks.u373 FOLDER`, with PhC-C2DH-U373 of the Cell Tracking Challenge.

    frames of sequence 02     0 ... 19 | 20, 21 | 22 ... 28 | 29 ... 34 | 35, 36, 41, 49
                              training | unused | choices   | unused    | scored, by the gold masks

Silver masks are made by programs, there is one of every frame; gold ones by people, of 10, 17, 19, 22 and 26 before the
scored ones. `--masks` says which are trained on. Both have all cells that reach into the field of interest, which
leaves out a rim of 50 px, and no others. So training sees the field of interest only, where every pixel is labelled.
Predictions are made on whole frames, and as the challenge asks, objects that lie in the rim altogether are dropped.
What else is cleaned away is chosen by the gold masks of 22 and 26.

The paper trained on sequences 01 and 02 and was scored on two others (SEG 0.9203). Here later frames of the film that
was trained on are scored: an easier task, as the table says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from benchmarks.object_scores import Objects, choose_cleaning, cleaned, predicted_objects, score_objects
from benchmarks.project_runs import Sections, add_training_options, chosen_settings, make_project, merged, train_once
from benchmarks.record import mean_and_spread, table, where, write_record
from benchmarks.whole_image import load_placed
from tests.data import shared_data

TRAIN, VALIDATION, SCORED = range(20), range(22, 29), (35, 36, 41, 49)
GOLD = (10, 17, 19, 22, 26)
"""Frames of training and validation with a mask made by people."""
MASKS = ("silver", "gold", "mixed")
"""Silver of all frames; gold, and only the frames that have it; gold where there is one and silver elsewhere."""
RIM_PX = 50
"""What the challenge leaves out around the field of interest of this film."""
PAPER_SEG = 0.9203


def within_interest(array: NDArray[Any], rim_px: int = RIM_PX) -> NDArray[Any]:
    """Cut the field of interest out of `[H, W]`."""
    return array[rim_px:-rim_px, rim_px:-rim_px]


def reaching_in(objects: Objects, rim_px: int = RIM_PX) -> Objects:
    """Return `objects` `[H, W]` without those of which no pixel lies in the field of interest."""
    inside = np.unique(within_interest(objects, rim_px))
    return np.where(np.isin(objects, inside), objects, 0)


def read_frame(data: Path, kind: str, number: int) -> NDArray[Any]:
    """Return a frame (`02`), or its `gold` or `silver` mask, `[H, W]`."""
    names = {
        "frame": f"02/t{number:03}.tif",
        "gold": f"02_GT/SEG/man_seg{number:03}.tif",
        "silver": f"02_ST/SEG/man_seg{number:03}.tif",
    }
    return np.asarray(tifffile.imread(data / "ctc-PhC-C2DH-U373" / "train" / names[kind]))


def masks_of(masks: str) -> dict[int, str]:
    """Return the frames that are trained on or validated with, and the kind of mask of each."""
    silver = dict.fromkeys((*TRAIN, *VALIDATION), "silver")
    gold = dict.fromkeys(GOLD, "gold")
    return {"silver": silver, "gold": gold, "mixed": {**silver, **gold}}[masks]


def prepare(data: Path, folder: Path, masks: str) -> None:
    """Write the fields of interest of the training and validation frames and their masks; no others are copied."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number, mask in masks_of(masks).items():
        for kind, source in (("images", "frame"), ("labels", mask)):
            tifffile.imwrite(folder / kind / f"t{number:03}.tif", within_interest(read_frame(data, source, number)))


def project_sections(folder: Path, masks: str) -> Sections:
    """Return the project: frames by name, so that none is in two parts."""
    train, validation = ([f"t{one:03}" for one in masks_of(masks) if one in part] for part in (TRAIN, VALIDATION))
    return {
        "project": {"name": "u373"},
        "data": {
            "images": (folder.resolve() / "images").as_posix(),
            "labels": (folder.resolve() / "labels").as_posix(),
            "kind": "instances",
            "train": train,
            "validation": validation,
        },
    }


def score_run(model: Path, data: Path) -> dict[str, Any]:
    """Choose the cleaning on the gold masks of the validation frames and score the later ones."""
    checkpoint = load_placed(model)

    def found(numbers: Sequence[int]) -> list[Objects]:
        return [reaching_in(predicted_objects(checkpoint, read_frame(data, "frame", number))) for number in numbers]

    def gold(numbers: Sequence[int]) -> list[Objects]:
        return [read_frame(data, "gold", number) for number in numbers]

    choosing = [number for number in GOLD if number in VALIDATION]
    cleaning = choose_cleaning(gold(choosing), found(choosing))
    predicted = [cleaned(one, cleaning) for one in found(SCORED)]
    truths = gold(SCORED)
    frames = {
        f"t{number:03}": asdict(score_objects([truth], [one]))
        for number, truth, one in zip(SCORED, truths, predicted, strict=True)
    }
    return {"cleaning": asdict(cleaning), "scores": asdict(score_objects(truths, predicted)), "frames": frames}


def silver_scores(data: Path) -> dict[str, Any]:
    """Score the silver masks of the scored frames themselves: what a network would score that learned them by heart."""
    gold, silver = ([read_frame(data, kind, number) for number in SCORED] for kind in ("gold", "silver"))
    return asdict(score_objects(gold, silver))


def result_table(results: Sequence[dict[str, Any]], silver: dict[str, Any], masks: str) -> str:
    """Return the Markdown table, the paper's figure in it."""
    ours = [mean_and_spread([one["scores"][key] for one in results]) for key in ("seg", "iou", "ap50")]
    rows = [
        [f"trained on frames 0-19 ({masks} masks), scored on {', '.join(map(str, SCORED))}", *ours],
        ["the silver masks of the scored frames", *(f"{silver[key]:.4f}" for key in ("seg", "iou", "ap50"))],
        ["the paper, on the challenge's test films", f"{PAPER_SEG}", "", ""],
    ]
    return table(["", "SEG", "IoU of all cells", "AP50"], rows)


def main() -> None:
    """Train and score every seed, and show them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.u373", description=__doc__.splitlines()[0])
    add_training_options(parser)
    parser.add_argument("--steps", type=int, metavar="N", help="[train] steps")
    parser.add_argument("--masks", choices=MASKS, default=MASKS[0], help="what is trained on")
    arguments = parser.parse_args()
    data = shared_data()
    if data is None or not (data / "ctc-PhC-C2DH-U373").exists():
        sys.exit("NOT RUN: the data are missing; set UNETCTL_DATA to the folder that holds ctc-PhC-C2DH-U373")
    settings = chosen_settings(arguments)
    masks = arguments.masks
    pairs, project = arguments.folder / f"data-{masks}", arguments.folder / f"project-{masks}"
    prepare(data, pairs, masks)
    make_project(project, merged(project_sections(pairs, masks), settings))
    results: list[dict[str, Any]] = []
    silver = silver_scores(data)
    for seed in arguments.seeds:
        run = train_once(project, seed=seed)
        about = {"seed": seed, "steps": run.metrics["steps"], "wall_seconds": run.wall_seconds, "command": run.command}
        results.append({**about, **score_run(run.model, data)})
        write_record(
            arguments.folder / f"u373-{masks}.json",
            results={"runs": results, "silver": silver, "paper": {"seg": PAPER_SEG}},
            settings={"unetctl.toml": settings, "masks": masks, "precision": "fp32", "rim_px": RIM_PX},
            seeds=arguments.seeds,
            commands=[one["command"] for one in results],
        )
    print(f"\n{where()}; {results[0]['steps']} steps, seeds {', '.join(map(str, arguments.seeds))}\n")
    print(result_table(results, silver, masks))


if __name__ == "__main__":
    main()
