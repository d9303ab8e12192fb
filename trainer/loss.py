"""The paper's energy: pixel-wise soft-max and weighted cross-entropy (section 3, equations 1 and 2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over pixels of `weights * -log(soft-max of the true class)`.

    `logits` `[N, K, h, w]` of any float type (computed in float32), `labels` int64 `[N, h, w]`, `weights` float32
    `[N, h, w]`. The paper sums; the mean is the same but for a factor, and lets the rate be the same for any tile.
    """
    each = cross_entropy(logits.float(), labels, reduction="none")
    return (weights * each).mean()
