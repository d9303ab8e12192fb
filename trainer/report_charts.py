"""The two charts of a run's report: its losses, and the Dice of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.history import SCORE_COLUMNS, History
from unetctl.trainer.html_chart import ACCENT, INK, SECOND, Axes, Line, chart, seen_on_both
from unetctl.trainer.html_page import Html

MOST_POINTS = 150
"""Of the training loss: each is the mean of as many steps as that takes."""


def loss_chart(history: History, best_step: int) -> Html:
    """Return the training loss, averaged over some steps, and the validation loss."""
    steps = np.array([row[0] for row in history.losses], float)
    losses = np.array([row[1] for row in history.losses])
    width = -(-len(losses) // MOST_POINTS)
    groups = [slice(first, first + width) for first in range(0, len(losses), width)]
    middle = [float(steps[group].mean()) for group in groups]
    mean = [float(losses[group].mean()) for group in groups]
    spread = [np.percentile(losses[group], (10, 90)) for group in groups]
    validation = [(float(step), scores[0]) for step, scores in sorted(history.scores.items())]
    highest = float(np.percentile([*mean, *(loss for _, loss in validation)], 98))
    name = "training" if width == 1 else f"training, mean of {width} steps and where 8 of 10 lie"
    training = Line(
        name=name,
        colour=ACCENT,
        points=list(zip(middle, mean, strict=True)),
        band=[(x, float(low), float(high)) for x, (low, high) in zip(middle, spread, strict=True)] if width > 1 else (),
    )
    lines = [training, Line(name="validation", colour=SECOND, points=validation, has_dots=True)]
    axes = Axes(
        x_last=steps[-1], y_first=0, y_last=1.1 * highest or 1, x_name="step", y_name="Loss (weighted cross-entropy)"
    )
    return chart(lines, axes, mark=(best_step, "best"))


def dice_chart(history: History, classes: Sequence[ClassInfo], best_step: int) -> Html:
    """Return the Dice on the validation images: the mean, and of each class."""
    rows = sorted(history.scores.items())
    lines = [_line("mean", INK, [(step, scores[1]) for step, scores in rows])]
    for index, one in enumerate(classes, start=len(SCORE_COLUMNS)):
        lines.append(_line(one.name, seen_on_both(one.colour), [(step, scores[index]) for step, scores in rows]))
    lowest = min(y for line in lines for _, y in line.points)
    axes = Axes(
        x_last=history.losses[-1][0],
        y_first=min(0.9, math.floor(10 * lowest) / 10),
        y_last=1,
        x_name="step",
        y_name="Dice on validation images",
    )
    return chart([line for line in lines if line.points], axes, mark=(best_step, "best"))


def _line(name: str, colour: str, points: Sequence[tuple[int, float]]) -> Line:
    known = [(float(step), value) for step, value in points if math.isfinite(value)]
    return Line(name=name, colour=colour, points=known, has_dots=True)
