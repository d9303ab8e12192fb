"""The pictures of a run: the course of its losses, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.spec import ClassInfo
from unetctl.runtime.system import atomic_path
from unetctl.trainer.dataset import Pair
from unetctl.trainer.history import SCORE_COLUMNS, History
from unetctl.trainer.measures import confusion_matrix, mean_dice, pixel_error
from unetctl.trainer.validate import Prediction

SHOWN_PAIRS = 3
SHOWN_PX = 512
"""Side of the part that is shown of a large image: its centre."""

MAX_NAME = 30
"""Letters of an image's name that fit over its picture."""

WRONG = (0.90, 0.10, 0.10)
INK, FAINT = "#222222", "#b8c4cc"


def draw_losses(path: Path, history: History, classes: Sequence[ClassInfo], best_step: int) -> None:
    """Draw the losses of training and validation, and under them the Dice of each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    steps = np.array([row[0] for row in history.losses])
    losses = np.array([row[1] for row in history.losses])
    upper.plot(steps, losses, color=FAINT, linewidth=0.6, label="training, each step")
    width = max(1, len(losses) // 50)
    if width > 1:
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        upper.plot(steps[width - 1 :], smooth, color="#0072b2", linewidth=1.8, label=f"training, mean of {width}")
    at = sorted(history.scores)
    scores = np.array([history.scores[step] for step in at]).reshape(len(at), -1)
    upper.plot(at, scores[:, 0], "o-", color="#d55e00", markersize=3.5, linewidth=1.4, label="validation")
    upper.set_ylabel("weighted cross-entropy")
    upper.set_ylim(0, 1.15 * float(np.percentile(np.concatenate([losses, scores[:, 0]]), 99)))

    first = len(SCORE_COLUMNS)
    for index, one in enumerate(classes):
        colour = one.colour if _is_dark_enough(one.colour) else INK
        lower.plot(at, scores[:, first + index], "o-", color=colour, markersize=3.5, linewidth=1.4, label=one.name)
    lower.set_ylabel("Dice on validation")
    lower.set_xlabel("step")
    lower.set_ylim(min(0.5, float(np.nanmin(scores[:, first:]))) if scores.size else 0, 1)
    lower.set_xlim(0, max(1, int(steps[-1])))
    for axes in (upper, lower):
        axes.axvline(best_step, color=INK, linewidth=0.8, linestyle=":", label=f"best, step {best_step}")
        axes.grid(color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, ncols=2)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_predictions(
    path: Path, pairs: Sequence[Pair], predictions: Sequence[Prediction], classes: Sequence[ClassInfo], title: str
) -> None:
    """Draw image, truth, prediction and errors of the first images, one a row."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = list(zip(pairs, predictions, strict=True))[:SHOWN_PAIRS]
    shapes = [_centre(pair.labels).shape for pair, _ in shown]
    heights = [2.6 * height / width for height, width in shapes]
    figure = Figure(figsize=(10.8, sum(heights) + 0.28 * len(shown) + 0.8), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(shown), 4, squeeze=False, height_ratios=heights)
    colours = np.array([_rgb(one.colour) for one in classes], np.float32)
    for row, (pair, prediction) in zip(axes, shown, strict=True):
        image, truth, labels = _gray(_centre(pair.image)), _centre(pair.labels), _centre(prediction.labels)
        matrix = confusion_matrix(truth, labels, len(classes))
        errors = 0.55 + 0.45 * np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
        errors[truth != labels] = WRONG
        pictures = (image, colours[truth], colours[labels], errors)
        titles = (
            _short(pair.name),
            "truth",
            f"prediction, Dice {mean_dice(matrix):.3f}",
            f"wrong: {100 * pixel_error(matrix):.1f} %",
        )
        for one, picture, text in zip(row, pictures, titles, strict=True):
            one.imshow(
                (255 * picture).astype(np.uint8), interpolation="nearest" if max(truth.shape) < 200 else "antialiased"
            )
            one.set_title(text, fontsize=9)
            one.set_axis_off()
    patches = [Patch(facecolor=one.colour, edgecolor=INK, label=one.name) for one in classes[:12]]
    figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _centre(array: NDArray[Any]) -> NDArray[Any]:
    """Cut the last two axes to the `SHOWN_PX` in their middle."""
    for axis in (-2, -1):
        size = array.shape[axis]
        first = max(0, (size - SHOWN_PX) // 2)
        array = array.take(range(first, min(size, first + SHOWN_PX)), axis=axis)
    return array


def _gray(image_chw: NDArray[Any]) -> NDArray[np.float32]:
    """Return `[H, W, 3]`, 0 to 1 from the darkest to the brightest half per cent; RGB, or the first channel in gray."""
    channels = image_chw if len(image_chw) == 3 else np.repeat(image_chw[:1], 3, axis=0)
    low, high = np.percentile(channels, (0.5, 99.5))
    scaled = (channels.astype(np.float32) - low) / max(1.0, high - low)
    return np.ascontiguousarray(np.clip(scaled, 0, 1).transpose(1, 2, 0))


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME // 2]}...{name[-MAX_NAME // 2 :]}"


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))


def _is_dark_enough(colour: str) -> bool:
    """Tell whether a line of this colour is seen on white."""
    red, green, blue = _rgb(colour)
    return 0.3 * red + 0.6 * green + 0.1 * blue < 0.85
