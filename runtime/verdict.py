"""The verdict on a precision: how the labels of an engine in bf16 or int8 compare with PyTorch's in fp32.

`export` measures it and writes it into the model's record, one for each engine; whoever runs the model reads it there.
The record holds figures, and this module the limits: a verdict is worked out anew wherever it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from unetctl.runtime.errors import DataError
from unetctl.runtime.precision import FAR_MARGIN, MAX_DICE_FALL, MAX_FAR_FLIPS, Precision
from unetctl.runtime.spec import ExportRecord

VERDICTS_KEY = "verdicts"
"""In `ExportRecord.comparison`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """Dice and intersection over union of one class, in fp32 and in the other precision; None where it is absent."""

    fp32_dice: float | None
    dice: float | None
    fp32_iou: float | None
    iou: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one engine made of the compared tiles in one precision."""

    engine: str
    precision: Precision
    images: str
    """Which tiles: `golden`, `validation` or `golden, validation`"""
    truth: str
    """What the scores are against: `labels`, of people, or `fp32`, the network's own."""
    pixels: int
    flips: int
    """Labels that are not those of fp32."""
    far_flips: int
    """Flips where the two best fp32 logits differ by more than `FAR_MARGIN`."""
    largest_margin: float
    """Of fp32, at a flip."""
    invalid: int
    """Labels that are no class."""
    scores: Mapping[str, ClassScores]
    """By the names of the classes."""

    @property
    def dice_fall(self) -> float:
        """The largest fall of a class's Dice; 0 if none fell."""
        falls = (
            one.fp32_dice - (one.dice or 0.0) for one in self.scores.values() if one.fp32_dice is not None
        )  # a class that is not found at all has fallen to nothing
        return max(0.0, *falls, 0.0)

    @property
    def accepted(self) -> bool:
        """True if what is lost is within the limits of `unetctl.runtime.precision`."""
        return (
            self.pixels > 0
            and not self.invalid
            and self.far_flips <= MAX_FAR_FLIPS * self.pixels
            and self.dice_fall <= MAX_DICE_FALL
        )

    def text(self) -> str:
        """Say the figures in a line."""
        unlike = f", {self.invalid:,} are no number" if self.invalid else ""
        return (
            f"{self.flips:,} of {self.pixels:,} labels flip, {self.far_flips:,} of them with a logit margin over "
            f"{FAR_MARGIN:g}{unlike}, and Dice falls by {self.dice_fall:.4f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with what was worked out from them for whoever reads the file."""
        return {**asdict(self), "dice_fall": self.dice_fall, "accepted": self.accepted}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote. Raises `KeyError`, `TypeError` and `ValueError` for anything else."""
        numbers = {name: int(values[name]) for name in ("pixels", "flips", "far_flips", "invalid")}
        return cls(
            engine=str(values["engine"]),
            precision=Precision(values["precision"]),
            images=str(values["images"]),
            truth=str(values["truth"]),
            largest_margin=float(values["largest_margin"]),
            scores={str(name): ClassScores(**one) for name, one in values["scores"].items()},
            **numbers,
        )


def with_verdicts(record: ExportRecord, verdicts: Sequence[Verdict]) -> ExportRecord:
    """Return `record` with what was found."""
    listed = [one.to_json() for one in verdicts]
    return replace(record, comparison={**record.comparison, VERDICTS_KEY: listed})


def verdicts_of(record: ExportRecord, *, source: str) -> tuple[Verdict, ...]:
    """Return the verdicts of a model's record; none if nothing but its own precision was compared.

    `source` names the file in the errors. Raises `DataError` where they are malformed.
    """
    try:
        found = tuple(Verdict.from_json(one) for one in record.comparison.get(VERDICTS_KEY, ()))
        for one in found:
            _ = one.accepted  # figures of another type fail here
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}: the verdicts on its precisions are malformed", cause=str(error)) from error
    return found
