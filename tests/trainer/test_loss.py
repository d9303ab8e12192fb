from __future__ import annotations

import math

import torch

from unetctl.trainer.loss import weighted_cross_entropy


def test_a_worked_example() -> None:
    logits = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])  # two classes, one row of two pixels
    labels = torch.tensor([[[0, 1]]])
    weights = torch.tensor([[[1.0, 3.0]]])
    expected = (1 * math.log(2) + 3 * math.log(1 + math.exp(2))) / 2
    assert math.isclose(float(weighted_cross_entropy(logits, labels, weights)), expected, rel_tol=1e-6)


def test_it_is_computed_in_full_precision() -> None:
    logits = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels, weights = torch.zeros(1, 8, 8, dtype=torch.long), torch.ones(1, 8, 8)
    assert weighted_cross_entropy(logits, labels, weights) == weighted_cross_entropy(logits.float(), labels, weights)
