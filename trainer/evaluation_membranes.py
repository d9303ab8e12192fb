"""What the membranes of one image scored, and of several: the measures of the ISBI 2012 challenge side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.partition_measures import PartitionScores, membrane_scores
from unetctl.trainer.splits_and_mergers import splits_and_mergers
from unetctl.trainer.warping import warp


@dataclass(frozen=True, slots=True, kw_only=True)
class MembraneScores:
    """Of one image, or of several: partitions are averaged over images, wrong pixels are counted over all."""

    partitions: tuple[PartitionScores, ...]
    pixels: int
    warping_pixels: int
    """What still differs when the truth was warped as far as its topology allows."""
    split_pixels: int
    """Of the pixels left over by the challenge's own way of warping, those that split a cell."""
    merger_pixels: int

    def mean(self, measure: str) -> float:
        """Return the mean of a property of `PartitionScores` over the images that have cells; NaN if none has."""
        values = np.array([getattr(one, measure) for one in self.partitions])
        defined = values[~np.isnan(values)]
        return float(defined.mean()) if defined.size else float("nan")

    @property
    def warping_error(self) -> float:
        """Part of the pixels that no warping explains, 0..1 (Jain et al. 2010)."""
        return self.warping_pixels / self.pixels

    @property
    def splits_and_mergers_error(self) -> float:
        """Part of the pixels that splits or merges cells, 0..1: the warping error that the challenge published."""
        return (self.split_pixels + self.merger_pixels) / self.pixels

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; None for what no image defines."""
        names = {
            "v_rand": "rand",
            "v_rand_split": "rand_split",
            "v_rand_merge": "rand_merge",
            "adapted_rand_error": "adapted_rand_error",
            "v_info": "info",
            "v_info_split": "info_split",
            "v_info_merge": "info_merge",
            "variation_of_information": "variation",
        }
        means = {name: self.mean(measure) for name, measure in names.items()}
        return {
            **{name: None if np.isnan(value) else round(value, 6) for name, value in means.items()},
            "warping_error": round(self.warping_error, 8),
            "splits_and_mergers_error": round(self.splits_and_mergers_error, 8),
            "split_pixels": self.split_pixels,
            "merger_pixels": self.merger_pixels,
        }


def score_membranes(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], sureness: NDArray[np.floating] | None = None
) -> MembraneScores:
    """Score masks of cells `[H, W]`, False is membrane; `sureness` is |probability - threshold|, where there is one."""
    left_over = splits_and_mergers(truth, predicted, sureness)
    return MembraneScores(
        partitions=(membrane_scores(truth, predicted),),
        pixels=truth.size,
        warping_pixels=int(np.count_nonzero(warp(truth, predicted, sureness=sureness).wrong)),
        split_pixels=int(np.count_nonzero(left_over.splits)),
        merger_pixels=int(np.count_nonzero(left_over.mergers)),
    )


def pooled_membranes(scores: Sequence[MembraneScores]) -> MembraneScores:
    """Return the scores of all images together."""
    return MembraneScores(
        partitions=tuple(partition for one in scores for partition in one.partitions),
        pixels=sum(one.pixels for one in scores),
        warping_pixels=sum(one.warping_pixels for one in scores),
        split_pixels=sum(one.split_pixels for one in scores),
        merger_pixels=sum(one.merger_pixels for one in scores),
    )
