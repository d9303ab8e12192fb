"""The comparison as a table, as plain values, and as a picture of error against time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.baselines.measured import Cost
from benchmarks.membrane_protocol import MEASURES, Measure, Scored
from benchmarks.plots import COLOURS

SHOWN = ("pixel_error", "pixel_error_f_score", "rand_error", "warping_error", "splits_and_mergers")
SHOWN_MEASURES = tuple(one for one in MEASURES if one.key in SHOWN)
"""In tables and pictures; the record has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way of labelling images with one network."""

    network: str
    way: str
    parameters: int
    steps: int
    minutes: float
    """Of training."""
    scores: dict[str, Scored]
    cost: Cost


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of the test images' errors, with thresholds in brackets, and of what they cost."""
    names = [one.name for one in SHOWN_MEASURES]
    header = ["network", "evaluation", *names, "s a Mpx", "parameters", "multiply-adds a px", "trained, min", "steps"]
    lines = [
        [
            *(row.network, row.way),
            *(_cell(row.scores[one.key], one) for one in SHOWN_MEASURES),
            *(f"{row.cost.median:.3g}", f"{row.parameters:,}", f"{row.cost.multiply_adds_a_pixel:,.0f}"),
            *(f"{row.minutes:.1f}", f"{row.steps:,}"),
        ]
        for row in rows
    ]
    return record.table(header, lines)


def _cell(score: Scored, measure: Measure) -> str:
    return "-" if math.isnan(score.test) else f"{score.test:.{measure.decimals}f} ({score.threshold:g})"


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as plain JSON values."""
    return [asdict(row) | {"median_seconds_a_megapixel": row.cost.median} for row in rows]


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw each measure against the seconds a megapixel; ways of one network are joined, since they err alike."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    size = (3.9 * len(SHOWN_MEASURES), 4.2)
    figure, axes = plt.subplots(
        1, len(SHOWN_MEASURES), figsize=size, facecolor="white", layout="constrained", sharex=True
    )
    networks = list(dict.fromkeys(row.network for row in rows))
    for axis, measure in zip(axes, SHOWN_MEASURES, strict=True):
        for number, network in enumerate(networks):
            own = [row for row in rows if row.network == network]
            seconds, errors = [row.cost.median for row in own], [row.scores[measure.key].test for row in own]
            axis.plot(seconds, errors, "o:", color=COLOURS[number % len(COLOURS)], label=network)
            for row, x, y in zip(own, seconds, errors, strict=True):
                if len(own) > 1:
                    axis.annotate(row.way, (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=8)
        known = [error for row in rows if not math.isnan(error := row.scores[measure.key].test)]
        axis.set(xlabel="seconds a megapixel", xscale="log", ylim=(0, 1.2 * max(known, default=1) or 1))
        axis.set_title(measure.name, fontsize=10)
        axis.margins(x=0.25)
        axis.grid(color="#dddddd", linewidth=0.6)
    axes[0].set_ylabel("error on the test images")
    figure.legend(handles=axes[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=len(networks))
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)
