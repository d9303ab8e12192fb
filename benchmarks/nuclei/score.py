"""How good a model is on the held-out nuclei: `python -m benchmarks.nuclei.score PROJECT [MODEL ...]`.

PROJECT is a folder that `prepare` made; MODEL is `nuclei` for the built-in model, an .onnx file, or a checkpoint; where
none is named, every complete run of the project. Prints a table and writes PROJECT/scores.json and PROJECT/worst.png.

Objects of a prediction are the connected regions of its nuclei, with the line given back that training cuts between
touching ones (`unetctl.trainer.objects`); nothing is filled, smoothed or left out for its size. Dice is of the pixels
of nuclei, AP is TP / (TP + FP + FN) at an IoU threshold; both as the mean over images, and of all images pooled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from benchmarks.nuclei.pictures import draw_cases
from benchmarks.record import mean_and_spread, write_record
from unetctl.cli.models import RunnableModel, Wish, model_path, open_model
from unetctl.runtime import segment
from unetctl.trainer.measures import Counts, confusion_matrix, dice
from unetctl.trainer.object_measures import Matches, match_objects, overlaps, reference_jaccards, seg
from unetctl.trainer.objects import objects_of

Images = dict[str, tuple[NDArray[np.uint8], NDArray[np.integer]]]
"""Image and numbered truth, both `[H, W]`, by name."""

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
NUCLEUS = 1
COLUMNS = ("dice_mean", "dice_pooled", "ap50_mean", "ap50_pooled", "ap_mean", "ap_pooled", "seg")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageScore:
    """One image, labelled by one model."""

    name: str
    size: str
    """Width x height"""
    matrix: Counts
    """Confusion of background and nucleus"""
    matches: Matches
    jaccards: NDArray[np.float64]
    """Of each nucleus of the truth, as SEG takes them"""

    @property
    def dice(self) -> float:
        """Of the pixels of nuclei."""
        return float(dice(self.matrix)[NUCLEUS])

    @property
    def ap50(self) -> float:
        """At an IoU of 0.5."""
        return float(self.matches.average_precision[0])

    @property
    def at_half(self) -> tuple[int, int, int]:
        """Nuclei found, missed and invented, at an IoU of 0.5."""
        kinds = self.matches.true_positives, self.matches.false_negatives, self.matches.false_positives
        found, missed, invented = (int(one[0]) for one in kinds)
        return found, missed, invented


def score_image(name: str, truth: NDArray[np.integer], labels: NDArray[np.uint8]) -> ImageScore:
    """Compare the labels of an image with its numbered nuclei, both `[H, W]`."""
    found = overlaps(truth, objects_of(labels, NUCLEUS))
    return ImageScore(
        name=name,
        size=f"{truth.shape[1]}x{truth.shape[0]}",
        matrix=confusion_matrix((truth > 0).astype(np.uint8), labels, 2),
        matches=match_objects(found, THRESHOLDS),
        jaccards=reference_jaccards(found),
    )


def summed_up(images: Sequence[ImageScore]) -> dict[str, float]:
    """Return the measures of images that each show a nucleus: `COLUMNS`, AP at every threshold, and counts."""
    matches = images[0].matches
    for one in images[1:]:
        matches = matches + one.matches
    precision = np.array([one.matches.average_precision for one in images])
    result = {
        "images": len(images),
        "nuclei": int(matches.true_positives[0] + matches.false_negatives[0]),
        "dice_mean": mean(one.dice for one in images),
        "dice_pooled": float(dice(np.sum([one.matrix for one in images], axis=0))[NUCLEUS]),
        "ap_mean": float(precision.mean()),
        "ap_pooled": matches.mean_average_precision,
        "seg": seg(one.jaccards for one in images),
    }
    for index, threshold in enumerate(THRESHOLDS):
        result[f"ap{round(100 * threshold)}_mean"] = float(precision[:, index].mean())
        result[f"ap{round(100 * threshold)}_pooled"] = float(matches.average_precision[index])
    return result


def read_part(project: Path, part: str) -> Images:
    """Return image and truth of each image of a part, by name without the part."""
    files = sorted((project / "images").glob(f"{part}_*.png"))
    return {
        file.stem.removeprefix(f"{part}_"): (
            imagecodecs.imread(file),
            imagecodecs.imread(project / "labels" / file.name),
        )
        for file in files
    }


def label_all(runnable: RunnableModel, images: Images) -> dict[str, NDArray[np.uint8]]:
    """Segment every image as `unetctl segment` would."""
    return {name: segment(image, runnable.model, engine=runnable.choice) for name, (image, _) in images.items()}


def results_of(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Return plain values: of all images, of each size, and of each image, the worst first."""
    sizes = sorted({one.size for one in images})
    by_rank = sorted(images, key=rank)
    return {
        "all": summed_up(images),
        "by_size": {size: summed_up([one for one in images if one.size == size]) for size in sizes},
        "images": [{"name": one.name, "size": one.size, **summed_up([one])} for one in by_rank],
    }


def rank(image: ImageScore) -> float:
    """Return what images are put in order by, the worst lowest: AP over all thresholds."""
    return image.matches.mean_average_precision


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print the table of each model, and of several their mean and spread."""
    width = max(len(name) for name in (*results, "mean, all images")) + 2
    print(f"{'':{width}}{'images':>8}{'nuclei':>8}" + "".join(f"{name.replace('_', ' '):>13}" for name in COLUMNS))
    for name, one in results.items():
        rows = {"all": one["all"], **one["by_size"]}
        for label, row in rows.items():
            figures = "".join(f"{row[column]:13.3f}" for column in COLUMNS)
            print(f"{name if label == 'all' else '  ' + label:{width}}{row['images']:8}{row['nuclei']:8}{figures}")
    if len(results) > 1:
        values = [[one["all"][column] for one in results.values()] for column in COLUMNS]
        cells = "".join(f"{mean_and_spread(one, 3).replace(' ', ''):>13}" for one in values)
        print(f"{f'mean of {len(results)}':{width}}{'':16}{cells}")


def spread_of(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return the mean over models of each measure, and its standard deviation where there are several."""
    columns = {column: [one["all"][column] for one in results.values()] for column in COLUMNS}
    return {
        column: {"mean": mean(values), "spread": stdev(values) if len(values) > 1 else None}
        for column, values in columns.items()
    }


def main() -> None:
    """Score the models named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a folder that benchmarks.nuclei.prepare made")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="nuclei, or files; default: every run")
    parser.add_argument("--part", default="test", choices=("test", "validation", "train"))
    parser.add_argument("--worst", type=int, default=6, metavar="N", help="images to draw, of the first model")
    arguments = parser.parse_args()
    project: Path = arguments.project
    models = arguments.models or [str(path) for path in sorted(project.glob("runs/*/model.safetensors"))]
    images = read_part(project, arguments.part)
    if not models or not images:
        parser.error(f"{project} holds no {'complete run' if images else f'{arguments.part} images'}")
    results: dict[str, dict[str, Any]] = {}
    seeds: list[int] = []
    for path in map(model_path, models):
        runnable = open_model(path, Wish(precision="fp32"))
        spec = runnable.model.spec
        labels = label_all(runnable, images)
        scores = [score_image(name, truth, labels[name]) for name, (_, truth) in images.items()]
        if not results:
            worst = sorted(scores, key=rank)[: arguments.worst]
            cases = [(f"{one.name[:8]} ({one.size})", *images[one.name], labels[one.name]) for one in worst]
            draw_cases(cases, project / "worst.png")
        name = path.parent.name if path.suffix == ".safetensors" else path.stem
        results[name] = {"weights_sha256": spec.weights_sha256, **results_of(scores)}
        seeds.append(spec.training["seed"])
    show(results)
    write_record(
        project / "scores.json",
        results={"models": results, "mean_of_models": spread_of(results)},
        settings={"part": arguments.part, "thresholds": THRESHOLDS},
        seeds=seeds,
        commands=[],
    )
    print(f"\n{project / 'scores.json'}   the figures\n{project / 'worst.png'}   the worst images")


if __name__ == "__main__":
    main()
