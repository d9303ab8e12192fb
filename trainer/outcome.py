"""What training says of itself: while it goes, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training is."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    validation: float | None
    """Mean Dice of the last validation."""
    seconds: float
    """Spent on this run so far, before an interruption too."""
    seconds_left: float
    steps_per_second: float
    """Of the network, validations and waiting for samples apart."""
    samples_per_second: float
    """What the loader can make: above `steps_per_second` times the batch, the network is the bottleneck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What training made."""

    run: str
    folder: Path
    model: Path
    """The checkpoint, `model.safetensors`."""
    steps: int
    best_step: int
    seconds: float
    validation: dict[str, Any]
    """Scores of the chosen weights: loss, pixel_error, mean_dice, dice and iou by class, confusion."""
    test: dict[str, Any] | None
    notices: tuple[str, ...]
