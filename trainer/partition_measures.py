"""How well an image is divided into cells: the measures of the ISBI 2012 challenge, and the variation of information.

    truth      cells numbered from 1, 0 is membrane (the challenge: 4-connected regions of the labels)
    predicted  the same, after its membranes were thinned to one pixel

Only the pixels inside the cells of the truth are compared ("foreground-restricted"): where exactly a membrane runs,
and how wide, is a matter of taste. A pixel that the prediction calls membrane although the truth has a cell there is
a segment of its own. Wide membranes would so be punished, which is why the challenge thins the prediction first; it
does not thin the truth.

Source: Arganda-Carreras et al. 2015, "Crowdsourcing the creation of image segmentation algorithms for connectomics",
Frontiers in Neuroanatomy 9:142, section on evaluation metrics, and the challenge's Fiji script (class names `RandError`
and `VariationOfInformation`, normalised by n^2). With p_ij the part of the pixels in segment i of the prediction and j
of the truth, s_i and t_j its sums:

    V_Rand = sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2)        V_Info = I(S; T) / (H(S) / 2 + H(T) / 2)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.weight_map import connected_regions


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionScores:
    """Agreement of two partitions of the same pixels. NaN throughout where the truth has no cell."""

    rand_split: float
    """Chance that two pixels of one true cell are in one predicted cell, 0..1; falls when cells are split."""
    rand_merge: float
    """Chance that two pixels of one predicted cell are in one true cell, 0..1; falls when cells are merged."""
    rand: float
    """V_Rand, the harmonic mean of the two, 0..1, 1 is best."""
    info_split: float
    """I(S; T) / H(S), 0..1; falls when cells are split."""
    info_merge: float
    """I(S; T) / H(T), 0..1; falls when cells are merged."""
    info: float
    """V_Info, the harmonic mean of the two, 0..1, 1 is best."""
    variation_split: float
    """H(S | T) in bits, 0 is best; what splits add to the variation of information."""
    variation_merge: float
    """H(T | S) in bits, 0 is best; what mergers add to the variation of information."""

    @property
    def adapted_rand_error(self) -> float:
        """1 - V_Rand, 0..1, 0 is best; the name that SNEMI3D gave it."""
        return 1.0 - self.rand

    @property
    def variation(self) -> float:
        """Variation of information H(S | T) + H(T | S) in bits, 0 is best (Meila 2007, J. Multivar. Anal. 98:873)."""
        return self.variation_split + self.variation_merge


def partition_scores(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> PartitionScores:
    """Compare numbered cells of any integer type, both of one shape, 0 for membrane; see the module for its treatment.

    Where an entropy is 0 nothing could be split or merged, and that part of V_Info is 1; the Fiji script gives 0 even
    to a perfect image of one cell.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth of shape {truth.shape} and prediction of shape {predicted.shape}")
    inside = truth != 0
    pixels = int(np.count_nonzero(inside))
    if not pixels:
        return PartitionScores(**dict.fromkeys(PartitionScores.__dataclass_fields__, float("nan")))
    numbers, of_truth = np.unique(truth[inside], return_inverse=True)
    areas = np.bincount(of_truth)
    segmented = predicted[inside] != 0
    alone = pixels - int(np.count_nonzero(segmented))  # each such pixel is a segment: it adds 1 to a sum of squares
    joint = np.unique(
        predicted[inside][segmented].astype(np.int64) * len(numbers) + of_truth[segmented], return_counts=True
    )[1]
    parts = np.unique(predicted[inside][segmented], return_counts=True)[1]

    both = int((joint**2).sum()) + alone
    same_truth, same_predicted = int((areas**2).sum()), int((parts**2).sum()) + alone
    of_both, of_areas, of_parts = (_entropy_bits(counts, pixels) for counts in (joint, areas, parts))
    shared = max(0.0, of_areas + of_parts - of_both)  # the exact 0 of a merger of everything may round below
    return PartitionScores(
        rand_split=both / same_truth,
        rand_merge=both / same_predicted,
        rand=2 * both / (same_truth + same_predicted),
        info_split=shared / of_parts if of_parts else 1.0,
        info_merge=shared / of_areas if of_areas else 1.0,
        info=2 * shared / (of_areas + of_parts) if of_areas + of_parts else 1.0,
        variation_split=max(0.0, of_both - of_areas),
        variation_merge=max(0.0, of_both - of_parts),
    )


def membrane_scores(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> PartitionScores:
    """Score masks of cells `[H, W]`, False is membrane, as the challenge does: V_Rand and V_Info after thinning."""
    return partition_scores(connected_regions(truth), thinned(connected_regions(predicted)))


def thinned(cells: NDArray[np.integer]) -> NDArray[np.int32]:
    """Grow numbered cells `[H, W]` over the membranes (0) until lines of one pixel are left.

    The watershed of a flat landscape, 4-connected, with its lines kept, as in the Fiji script. An image of membrane
    only becomes one cell, as a flat landscape has one basin.
    """
    from skimage.segmentation import watershed

    if not cells.any():
        return np.ones(cells.shape, np.int32)
    flat = np.zeros(cells.shape, np.uint8)
    grown = watershed(flat, cells.astype(np.int32), connectivity=1, watershed_line=True)  # type: ignore[no-untyped-call]
    return np.asarray(grown, np.int32)


def _entropy_bits(counts: NDArray[np.integer], pixels: int) -> float:
    """Return the entropy of a partition of `pixels`; those that `counts` leaves out are segments of one pixel."""
    entropy = np.log2(pixels) - (counts * np.log2(counts)).sum() / pixels
    return 0.0 if len(counts) == 1 and counts[0] == pixels else float(entropy)
