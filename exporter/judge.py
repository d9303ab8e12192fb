"""The verdict on a precision: the file as it will be, in the engine as it will run, against PyTorch's fp32 logits.

tiles (golden, held out) -> PyTorch, fp32 -> logits -> labels, margins ---+
                         -> engine, bf16 or int8 -> labels ---------------+-> flips, Dice and IoU of each class
                            labels of people, or fp32's own --------------+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.check import golden_labels
from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import EngineRequest, engine_status, open_engine
from unetctl.runtime.golden import GoldenTile, combine, compare_labels
from unetctl.runtime.model import Model
from unetctl.runtime.precision import FAR_MARGIN, Precision
from unetctl.runtime.verdict import ClassScores, Verdict
from unetctl.trainer.measures import Counts, confusion_matrix, dice, iou


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedTile:
    """A tile with PyTorch's logits, and with the labels of people where there are any."""

    tile: GoldenTile
    truth: NDArray[np.uint8] | None = None
    """`[h, w]`, classes, of the same pixels as the logits"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedTiles:
    """What verdicts are measured on."""

    images: str
    """`golden`, `validation` or `golden, validation`"""
    tiles: tuple[JudgedTile, ...]

    @property
    def truth(self) -> str:
        """What is scored against: `labels` of people, on the tiles that have them, or `fp32`, the network's own."""
        return "labels" if any(one.truth is not None for one in self.tiles) else "fp32"


def judge(model: Model, engine: str, precision: Precision, tiles: JudgedTiles) -> Verdict:
    """Run every tile through an engine in one precision and compare its labels with those of fp32.

    `model` is a file that was read; its own precision is `precision`, or fp32 where that is a hint. Without labels of
    people the Dice is that with fp32's own labels, and falls by more than the Dice with any truth usually does.
    """
    hint = precision if model.record.precision != precision else None
    labels = _labels(replace(model, golden=tuple(one.tile for one in tiles.tiles)), engine, hint)
    return verdict_of(labels, tiles, engine=engine, precision=precision, classes=_names(model))


def verdict_of(
    labels: Sequence[NDArray[np.uint8]],
    tiles: JudgedTiles,
    *,
    engine: str,
    precision: Precision,
    classes: Sequence[str],
) -> Verdict:
    """Return the verdict on `labels` `[h, w]`, one for each tile."""
    agreements, before, after = [], _nothing(classes), _nothing(classes)
    for found, one in zip(labels, tiles.tiles, strict=True):
        agreements.append(compare_labels(found, one.tile.logits, FAR_MARGIN))
        fp32 = one.tile.logits.argmax(axis=0).astype(np.uint8)
        truth = fp32 if tiles.truth == "fp32" else one.truth
        if truth is None:  # a golden tile: its flips count, and it has no score
            continue
        is_class = found < len(classes)  # what is no number counts as invalid, and is in no score
        before += confusion_matrix(truth[is_class], fp32[is_class], len(classes))
        after += confusion_matrix(truth[is_class], found[is_class], len(classes))
    total = combine(agreements)
    return Verdict(
        engine=engine,
        precision=precision,
        images=tiles.images,
        truth=tiles.truth,
        pixels=total.pixels,
        flips=total.flips,
        far_flips=total.flips_beyond,
        largest_margin=total.largest_margin,
        invalid=total.invalid,
        scores=_scores(before, after, classes),
    )


def hinted_verdicts(
    model: Model, names: Sequence[str], tiles: JudgedTiles, on_step: Callable[[str], None]
) -> tuple[Verdict, ...]:
    """Judge an fp32 model on each of the engines `names` in what they can make of it here."""
    found = []
    for one in engine_status():
        for hint in one.hints if one.name in names else ():
            on_step(f"comparing {one.name} in {hint} with PyTorch")
            found.append(judge(model, one.name, hint, tiles))
    return tuple(found)


def _labels(model: Model, engine: str, hint: Precision | None) -> list[NDArray[np.uint8]]:
    def open_hinted(request: EngineRequest) -> Engine:
        return open_engine(engine, replace(request, hint=hint))

    return golden_labels(model, open_hinted)


def _names(model: Model) -> tuple[str, ...]:
    return tuple(one.name for one in model.spec.classes)


def _nothing(classes: Sequence[str]) -> Counts:
    return np.zeros((len(classes), len(classes)), np.int64)


def _scores(before: Counts, after: Counts, classes: Sequence[str]) -> dict[str, ClassScores]:
    columns = (dice(before), dice(after), iou(before), iou(after))
    values = [[None if np.isnan(one) else round(float(one), 6) for one in column] for column in columns]
    return {
        name: ClassScores(fp32_dice=a, dice=b, fp32_iou=c, iou=d)
        for name, a, b, c, d in zip(classes, *values, strict=True)
    }
