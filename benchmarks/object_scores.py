"""How well objects are found: SEG, AP50 and Dice, and what may be done to a prediction before it is scored.

Small objects may be dropped and holes filled. How much of it is chosen on images that are not scored, by the mean of
SEG and AP50: SEG alone never blames an invented object, AP50 alone no bad outline.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.whole_image import logits_of
from unetctl.trainer.checkpoint import Checkpoint
from unetctl.trainer.measures import confusion_matrix, dice, iou
from unetctl.trainer.object_measures import match_objects, overlaps, reference_jaccards, seg
from unetctl.trainer.objects import objects_of

OBJECT_CLASS = 1
"""Of every project of `kind = "instances"`."""

Objects = NDArray[np.integer]
"""A label image `[H, W]`: 0 is background, every other value one object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectScores:
    """Scores of a set of images; objects and pixels of all images are counted together."""

    seg: float
    ap50: float
    """TP / (TP + FP + FN) at an intersection over union of 0.5."""
    dice: float
    """Of the pixels in any object."""
    iou: float
    """Of the pixels in any object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What is done to every predicted object."""

    smallest_px: int = 0
    """Objects of fewer pixels are dropped."""
    is_filled: bool = False
    """Holes inside an object become part of it."""


CLEANINGS = tuple(
    Cleaning(smallest_px=smallest, is_filled=filled)
    for smallest, filled in product((0, 30, 100, 300, 1000), (False, True))
)
"""From the least to the most."""


def score_objects(truths: Sequence[Objects], predicted: Sequence[Objects]) -> ObjectScores:
    """Score predicted label images against true ones."""
    found = [overlaps(*pair) for pair in zip(truths, predicted, strict=True)]
    matches = [match_objects(one, (0.5,)) for one in found]
    counts = sum(
        (
            confusion_matrix((truth > 0).astype(np.uint8), (one > 0).astype(np.uint8), 2)
            for truth, one in zip(truths, predicted, strict=True)
        ),
        np.zeros((2, 2), np.int64),
    )
    return ObjectScores(
        seg=seg(reference_jaccards(one) for one in found),
        ap50=float(sum(matches[1:], matches[0]).average_precision[0]),
        dice=float(dice(counts)[1]),
        iou=float(iou(counts)[1]),
    )


def predicted_objects(checkpoint: Checkpoint, image: NDArray[Any]) -> Objects:
    """Return the objects of an image `[H, W]` as the network labels it, uncleaned."""
    logits = logits_of(checkpoint.network, checkpoint.spec, np.ascontiguousarray(image)[None])
    return objects_of(logits.argmax(axis=0), OBJECT_CLASS)


def cleaned(objects: Objects, cleaning: Cleaning) -> Objects:
    """Return `objects` after `cleaning`; their numbers stay."""
    from scipy import ndimage

    areas = np.bincount(objects.ravel())
    result = np.where(areas[objects] < cleaning.smallest_px, 0, objects)
    if cleaning.is_filled:
        for number, box in enumerate(ndimage.find_objects(result), start=1):
            if box is not None:
                part = result[box]
                part[ndimage.binary_fill_holes(part == number) & (part == 0)] = number
    return result


def choose_cleaning(truths: Sequence[Objects], predicted: Sequence[Objects]) -> Cleaning:
    """Return what suits these images best; of equals, the least."""

    def quality(cleaning: Cleaning) -> float:
        scores = score_objects(truths, [cleaned(one, cleaning) for one in predicted])
        return statistics.mean((scores.seg, scores.ap50))

    return max(CLEANINGS, key=quality)
