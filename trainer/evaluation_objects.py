"""What the objects of one image scored, and of several: SEG, average precision and how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.object_measures import Matches, match_objects, overlaps, reference_jaccards, seg

AP_THRESHOLDS = tuple(step / 20 for step in range(10, 19))
"""0.5, 0.55, ... 0.9, those of the StarDist papers."""

Objects = NDArray[np.integer]
"""`[H, W]`, numbered from 1; 0 is no object."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectScores:
    """Of one image, or of several: every object counts once, wherever it is."""

    jaccards: NDArray[np.float64]
    """Of each object of the truth, as SEG takes them."""
    matches: Matches
    """At `AP_THRESHOLDS`."""

    @property
    def truth(self) -> int:
        """Objects that are there."""
        return len(self.jaccards)

    @property
    def predicted(self) -> int:
        """Objects that were found or invented."""
        return int(self.matches.true_positives[0] + self.matches.false_positives[0])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; None for what needs objects where there are none."""

        def plain(value: float) -> float | None:
            return None if np.isnan(value) else round(value, 6)

        precision = self.matches.average_precision.tolist()
        return {
            "truth": self.truth,
            "predicted": self.predicted,
            "seg": plain(seg([self.jaccards])),
            "ap": {f"{one:g}": plain(value) for one, value in zip(AP_THRESHOLDS, precision, strict=True)},
            "ap50": plain(precision[0]),
            "mean_ap": plain(self.matches.mean_average_precision),
        }


def score_objects(pairs: Iterable[tuple[Objects, Objects]]) -> ObjectScores:
    """Score numbered objects, truth and prediction, of one class or of several; an object matches in its class only."""
    found = [overlaps(truth, predicted) for truth, predicted in pairs]
    return pooled_objects(
        [ObjectScores(jaccards=reference_jaccards(one), matches=match_objects(one, AP_THRESHOLDS)) for one in found]
    )


def pooled_objects(scores: Sequence[ObjectScores]) -> ObjectScores:
    """Return the scores of all images together; there is at least one."""
    return ObjectScores(
        jaccards=np.concatenate([one.jaccards for one in scores]),
        matches=reduce(add, (one.matches for one in scores)),
    )
