"""What the verdicts on bf16 and int8 look like to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unetctl.cli import output
from unetctl.cli.wording import safe_text

if TYPE_CHECKING:
    from unetctl.runtime.verdict import Verdict


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print how many labels flip in each precision, what it costs each class, and what was decided."""
    if not verdicts:
        return
    output.heading("labels in other precisions, against fp32")
    flips = ("engine", "precision", "pixels", "other labels", "margin over 1", "verdict")
    output.table(flips, [_flips(one) for one in verdicts])
    truth = "labels of people" if verdicts[0].truth == "labels" else "the labels of fp32"
    output.heading(f"classes, scored against {truth}")
    scores = ("engine", "precision", "class", "Dice fp32", "Dice", "IoU fp32", "IoU")
    output.table(scores, [row for one in verdicts for row in _classes(one)])


def _flips(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.engine,
        verdict.precision,
        f"{verdict.pixels:,} {verdict.images}",
        f"{verdict.flips:,} ({_percent(verdict.flips, verdict.pixels)})",
        f"{verdict.far_flips:,} ({_percent(verdict.far_flips, verdict.pixels)})",
        "accepted" if verdict.accepted else "NOT accepted",
    )


def _classes(verdict: Verdict) -> list[tuple[str, ...]]:
    return [
        (
            verdict.engine,
            verdict.precision,
            safe_text(name),
            *("-" if one is None else f"{one:.4f}" for one in (of.fp32_dice, of.dice, of.fp32_iou, of.iou)),
        )
        for name, of in verdict.scores.items()
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4f} %" if whole else "0 %"
