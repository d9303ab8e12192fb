"""The figures of an evaluation as rows of text, the same on the screen and on the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unetctl.trainer.evaluate import Evaluation, Scores
from unetctl.trainer.measures import dice, iou, mean_dice, pixel_error
from unetctl.trainer.membrane_scan import MEASURES, SPLITS
from unetctl.trainer.object_measures import seg

Column = tuple[str, str]
"""What a figure is, and the figure."""

SCANNED = dict(zip(MEASURES, ("pixel F-score", "V_Rand", "V_Info", "split/merge"), strict=True))
"""What the measures of a scan are called."""


def columns(scores: Scores) -> list[Column]:
    """Return the figures of an image, or of several together, each with its heading."""
    found = [
        ("wrong px", f"{100 * pixel_error(scores.matrix):.2f} %"),
        ("mean Dice", figure_text(mean_dice(scores.matrix))),
    ]
    if scores.objects is not None:
        precision = scores.objects.matches.average_precision
        found += [
            ("objects", f"{scores.objects.truth:,}"),
            ("found", f"{scores.objects.predicted:,}"),
            ("SEG", figure_text(seg([scores.objects.jaccards]))),
            ("AP50", figure_text(float(precision[0]))),
            ("AP", figure_text(float(precision.mean()))),
        ]
    if scores.membranes is not None:
        found += [
            ("V_Rand", figure_text(scores.membranes.mean("rand"))),
            ("V_Info", figure_text(scores.membranes.mean("info"))),
            ("VI", figure_text(scores.membranes.mean("variation"))),
            ("warping", figure_text(scores.membranes.warping_error, 6)),
            ("split/merge", figure_text(scores.membranes.splits_and_mergers_error, 6)),
        ]
    return found


def class_rows(scores: Scores, names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return name, Dice, IoU and share of the truth's pixels of each class."""
    shares = scores.matrix.sum(axis=1) / scores.matrix.sum()
    return [
        (name, figure_text(one_dice), figure_text(one_iou), f"{100 * share:.1f} %")
        for name, one_dice, one_iou, share in zip(names, dice(scores.matrix), iou(scores.matrix), shares, strict=True)
    ]


def scan_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return measure, best threshold and what it scores there."""
    return [
        (SCANNED[measure], f"{scan.best_threshold:g}", figure_text(scan.best_score, 6 if measure == SPLITS else 4))
        for measure, scan in (evaluation.scan or {}).items()
    ]


def averaging_rows(plain: Evaluation, averaged: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of what averaging is worth and what it costs."""
    headings = ["averaging", *(name for name, _ in columns(plain.pooled)), "s/Mpx"]
    rows = [
        [name, *(text for _, text in columns(one.pooled)), figure_text(one.seconds_per_megapixel or 0.0, 2)]
        for name, one in (("none", plain), ("8 symmetries", averaged))
    ]
    return headings, rows


def explanations(evaluation: Evaluation) -> list[str]:
    """Say what the figures are, of those that are there."""
    found = []
    if evaluation.pooled.objects is not None:
        found.append(
            "SEG: mean IoU of the true objects, 0 for one that nothing covers by more than half. AP50: right objects "
            "among all, true and found, at an IoU of 0.5; AP: the mean from 0.5 to 0.9."
        )
    if evaluation.pooled.membranes is not None:
        found.append(
            "V_Rand and V_Info: agreement of the cells after thinning, 1 is best. VI: variation of information in "
            "bits, 0 is best. Warping: part of the pixels that no shift of a membrane explains; split/merge: of these, "
            "by the challenge's own way of warping, the part that splits or merges cells."
        )
    return found


def figure_text(value: float, decimals: int = 4) -> str:
    """Return a score, or a dash for one that is not defined."""
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"


def short(name: str, letters: int) -> str:
    """Return a name with its middle left out where it is longer."""
    half = (letters - 3) // 2
    return name if len(name) <= letters else f"{name[:half]}...{name[-half:]}"
