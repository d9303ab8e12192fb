"""Score predictions against truth: every image by itself, and all of them as each measure's definition pools them.

    pixel error, Dice, IoU      of the pixels of all images
    SEG, AP                     of the objects of all images
    V_Rand, V_Info, variation   the mean over the images, as in the ISBI 2012 challenge
    warping error               of the pixels of all images

Predictions are whatever they are: of a network, of a model file, or label images that somebody else made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.evaluation_membranes import MembraneScores, pooled_membranes, score_membranes
from unetctl.trainer.evaluation_objects import Objects, ObjectScores, pooled_objects, score_objects
from unetctl.trainer.label_values import ClassMap
from unetctl.trainer.measures import Counts, confusion_matrix, mean_dice, plain_scores
from unetctl.trainer.membrane_scan import Row, best_thresholds, plain_scan, scan_image
from unetctl.trainer.objects import objects_of
from unetctl.trainer.threshold_scan import ThresholdScan
from unetctl.trainer.weight_map import connected_regions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """An image with its truth."""

    name: str
    truth: NDArray[np.uint8]
    """`[H, W]`, classes"""
    objects: Objects | None
    """`[H, W]`, numbered from 1, where the label image numbers them"""
    image: NDArray[Any] | None
    """`[C, H, W]`"""
    seen_in: str | None = None
    """`train` or `validation`, if the model was trained on this image or chosen by it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What was found in an image."""

    labels: NDArray[np.uint8]
    """`[H, W]`, classes"""
    objects: Objects | None = None
    """`[H, W]`, numbered from 1, where the prediction numbers them"""
    probability: NDArray[np.float32] | None = None
    """`[H, W]`, 0..1, of the class that is not background, where there are two classes and a network's outputs"""
    seconds: float | None = None
    """That the network took."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Of one image, or of several together."""

    matrix: Counts
    objects: ObjectScores | None
    membranes: MembraneScores | None

    @property
    def rank(self) -> float:
        """What images are put in order by, higher is better: of what was asked for, the most particular."""
        if self.membranes is not None:
            return self.membranes.mean("rand")
        return mean_dice(self.matrix) if self.objects is None else self.objects.matches.mean_average_precision

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return plain JSON values; what is not defined, as the Dice of a class that does not occur, is None."""
        return {
            "pixels": int(self.matrix.sum()),
            **plain_scores(self.matrix, names),
            "objects": self.objects.to_dict() if self.objects else None,
            "membranes": self.membranes.to_dict() if self.membranes else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What a set of predictions scored."""

    images: tuple[Scores, ...]
    """In the order of the cases"""
    pooled: Scores
    predictions: tuple[Prediction, ...]
    """Without probabilities, which are large"""
    seconds_per_megapixel: float | None
    scan: dict[str, ThresholdScan] | None
    """By measure, if it was asked for."""

    @property
    def worst_first(self) -> list[int]:
        """Indices of the images by `Scores.rank`; those without a score come last."""
        ranks = [one.rank for one in self.images]
        return sorted(range(len(ranks)), key=lambda index: (np.isnan(ranks[index]), ranks[index]))

    def to_dict(self, cases: Sequence[Case], names: Sequence[str]) -> dict[str, Any]:
        """Return plain JSON values, with the images worst first; `names` are those of the classes."""
        seconds = self.seconds_per_megapixel
        return {
            "scores": self.pooled.to_dict(names),
            "images": [
                {"name": cases[index].name, "seen_in": cases[index].seen_in, **self.images[index].to_dict(names)}
                for index in self.worst_first
            ],
            "seconds_per_megapixel": None if seconds is None else round(seconds, 4),
            "scan": plain_scan(self.scan) if self.scan else None,
        }


def evaluate(
    cases: Sequence[Case],
    predictions: Iterable[Prediction],
    classes: ClassMap,
    *,
    objects: bool = False,
    membranes: bool = False,
    threshold: float | None = None,
    on_image: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Score one prediction after the other, each for the case of its position.

    `objects` and `membranes` ask for those measures; the background of `classes`, or else the first class, is what is
    no object and what is membrane. `threshold` decides between two classes by their probability, instead of the larger
    one; without it the best thresholds for `membranes` are looked for, where there are probabilities. `on_image` is
    told how many images are done.
    """
    scores: list[Scores] = []
    rows: list[Row] = []
    kept: list[Prediction] = []
    for case, found in zip(cases, predictions, strict=True):
        prediction = found if threshold is None else cut_at(found, threshold, classes)
        decided_at = 0.5 if threshold is None else threshold
        sureness = None if found.probability is None else np.abs(found.probability - decided_at)
        scores.append(score(case, prediction, classes, objects=objects, membranes=membranes, sureness=sureness))
        if membranes and threshold is None and found.probability is not None:
            rows.append(scan_image(case.truth != background_of(classes), found.probability))
        kept.append(replace(prediction, probability=None))
        on_image(len(kept))
    seconds = [one.seconds for one in kept if one.seconds is not None]
    megapixels = sum(case.truth.size for case in cases) / 1e6
    return Evaluation(
        images=tuple(scores),
        pooled=pooled(scores),
        predictions=tuple(kept),
        seconds_per_megapixel=sum(seconds) / megapixels if seconds else None,
        scan=best_thresholds(rows) if rows else None,
    )


def score(
    case: Case,
    prediction: Prediction,
    classes: ClassMap,
    *,
    objects: bool,
    membranes: bool,
    sureness: NDArray[np.floating] | None = None,
) -> Scores:
    """Score one image; `sureness` is how far the probability is from the threshold, for the warping error."""
    background = background_of(classes)
    cells = case.truth != background, prediction.labels != background
    return Scores(
        matrix=confusion_matrix(case.truth, prediction.labels, len(classes.classes)),
        objects=score_objects(object_pairs(case, prediction, classes)) if objects else None,
        membranes=score_membranes(*cells, sureness) if membranes else None,
    )


def pooled(scores: Sequence[Scores]) -> Scores:
    """Return the scores of all images together; there is at least one."""
    objects = [one.objects for one in scores if one.objects is not None]
    membranes = [one.membranes for one in scores if one.membranes is not None]
    return Scores(
        matrix=np.sum([one.matrix for one in scores], axis=0),
        objects=pooled_objects(objects) if objects else None,
        membranes=pooled_membranes(membranes) if membranes else None,
    )


def cut_at(prediction: Prediction, threshold: float, classes: ClassMap) -> Prediction:
    """Return what is predicted if a pixel is no background where its probability is above `threshold`, 0..1."""
    if prediction.probability is None:
        raise ValueError("a prediction without probabilities has no threshold")
    background = background_of(classes)
    labels = np.where(prediction.probability > threshold, 1 - background, background).astype(np.uint8)
    return replace(prediction, labels=labels)


def background_of(classes: ClassMap) -> int:
    """Return the class that is no object: the one named so, else the first."""
    return classes.background or 0


def object_pairs(case: Case, prediction: Prediction, classes: ClassMap) -> Iterator[tuple[Objects, Objects]]:
    """Yield numbered objects of truth and prediction, for each class that is not the background.

    Objects are numbered by a label image, or they are the regions of a class that are connected through pixel sides.
    Where the truth numbers them and the prediction does not, the line that training cuts between objects that touch is
    given back.
    """
    for index in range(len(classes.classes)):
        if index == background_of(classes):
            continue
        truth, found = case.objects, prediction.objects
        if found is None:
            found = objects_of(prediction.labels, index) if truth is not None else _regions(prediction.labels, index)
        yield _regions(case.truth, index) if truth is None else truth, found


def _regions(labels: NDArray[np.uint8], index: int) -> Objects:
    return connected_regions(labels == index)
