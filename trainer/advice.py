"""What a finished run should make its owner think of: each finding says what was seen, and what may help.

A finding is a rule of thumb with its threshold beside it, not a verdict. What is not said was looked at all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unetctl.trainer.history import History

FEWEST_VALIDATIONS = 4
"""Of fewer, nothing is concluded from the course of the run."""

RISEN = 1.1
"""Times its lowest value that the validation loss must have reached to have risen: it wavers by a few per cent."""

FALLEN = 0.9
"""The same for the training loss, downwards."""

STILL_RISING = 0.005
"""Mean Dice gained in the last quarter of a run that was not done yet."""

SURPRISE = 0.05
"""Mean Dice by which test images may be worse than those that the weights were chosen by."""

IDLE = 1.1
"""Times the samples that the network takes which the loader must be able to make, so that the network never waits."""


def advise(history: History, metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the findings of a run, the gravest first; `metrics` is what `metrics.json` holds."""
    found = (
        *_unpredicted(metrics),
        _overfitting(history),
        _too_short(history, int(metrics["best_step"])),
        _worse_on_test(metrics),
        _few_images(metrics),
        _starved(metrics),
    )
    return tuple(one for one in found if one)


def _unpredicted(metrics: Mapping[str, Any]) -> list[str]:
    """Find the classes that the network does not know, and those of which nobody can tell."""
    found = []
    validation = metrics["validation"]
    matrix = np.array(validation["confusion"])
    for index, name in enumerate(validation["dice"]):
        trained = metrics["class_pixels"][index]
        if not trained:
            found.append(f"No training image shows the class {name}: the network cannot have learned it.")
        elif not matrix[index].sum():
            found.append(f"No validation image shows the class {name}: how well it is found was never measured.")
        elif not matrix[:, index].sum():
            share = 100 * trained / sum(metrics["class_pixels"])
            found.append(
                f"The class {name} is never predicted, though validation images show it. It is {share:.2g} % of the "
                "training pixels; class_balance = true under [train] gives rare classes more weight."
            )
    return found


def _overfitting(history: History) -> str:
    """Compare the course of the losses after the validation loss was lowest with what they were there."""
    steps = sorted(history.scores)
    if len(steps) < FEWEST_VALIDATIONS:
        return ""
    validation = [history.scores[step][0] for step in steps]
    lowest = int(np.argmin(validation))
    after = validation[lowest + 1 :]
    if len(after) < 2 or not lowest or np.median(after[-3:]) < RISEN * validation[lowest]:
        return ""
    then = _training_loss(history, steps[lowest - 1], steps[lowest])
    now = _training_loss(history, steps[-2], steps[-1])
    if now > FALLEN * then:
        return ""
    return (
        f"Overfitting: the validation loss was lowest at step {steps[lowest]:,} ({validation[lowest]:.3g}) and rose to "
        f"{validation[-1]:.3g}, while the training loss fell from {then:.2g} to {now:.2g}. The weights that are kept "
        "are those of the best mean Dice. More annotated images help most; then stronger [augment], or more dropout."
    )


def _training_loss(history: History, after: int, last: int) -> float:
    """Return the mean training loss of the steps between two validations: a single step's is noise."""
    return float(np.mean([loss for step, loss, _ in history.losses if after < step <= last]))


def _too_short(history: History, best_step: int) -> str:
    steps = sorted(history.scores)
    if len(steps) < FEWEST_VALIDATIONS or best_step != steps[-1]:
        return ""
    dice = [history.scores[step][1] for step in steps]
    gained = dice[-1] - max(dice[: len(dice) - len(dice) // 4])
    if gained < STILL_RISING:
        return ""
    return (
        f"The best validation is the last one, and the mean Dice rose by {gained:.3f} in the last quarter: "
        f"a longer run may be better still, as steps = {2 * steps[-1]}."
    )


def _worse_on_test(metrics: Mapping[str, Any]) -> str:
    test, validation = metrics["test"], metrics["validation"]
    if test is None or test["mean_dice"] > validation["mean_dice"] - SURPRISE:
        return ""
    return (
        f"The test images score {validation['mean_dice'] - test['mean_dice']:.3f} lower in mean Dice than the "
        "validation images, by which the weights were chosen. Believe the test images, and see what is special in them."
    )


def _few_images(metrics: Mapping[str, Any]) -> str:
    """Say what the figures rest on, where that is little."""
    validation, test = (int(metrics["split"][part]["images"]) for part in ("validation", "test"))
    if test:
        return _single("test", test)
    chosen = "The weights were chosen by the validation images, and no test images were kept apart: the scores flatter."
    return " ".join(one for one in (chosen, _single("validation", validation)) if one)


def _single(part: str, images: int) -> str:
    return f"A single {part} image says little about others." if images == 1 else ""


def _starved(metrics: Mapping[str, Any]) -> str:
    """Tell whether the network waited for its samples."""
    speed, train = metrics["speed"], metrics["settings"]["train"]
    if speed is None:  # a run that was continued after its last step
        return ""
    taken = speed["steps_per_second"] * train["batch"]
    if speed["samples_per_second"] >= IDLE * taken:
        return ""
    return (
        f"The network waited for its images: it took {taken:.3g} samples a second, and the loader can make "
        f"{speed['samples_per_second']:.3g}. A processor with faster cores, or less [augment], would shorten the run."
    )
