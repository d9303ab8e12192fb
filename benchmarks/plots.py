"""A score against what it cost: points of all runs, a line through the means of those of one kind."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of the lines, told apart by the colour-blind too (Okabe and Ito)."""


def draw_curve(
    path: Path,
    curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]],
    *,
    title: str,
    x_name: str,
    y_name: str,
    levels: Mapping[str, float] | None = None,
) -> None:
    """Draw named curves on a logarithmic x axis: groups of runs, each run a point (x, y), a line through their means.

    `levels` are drawn across, for what others have reached.
    """
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.2, 4.4), facecolor="white", layout="constrained")
    axis.set_xscale("log")
    for (name, groups), colour in zip(curves.items(), COLOURS, strict=False):
        means = [[statistics.mean(values) for values in zip(*group, strict=True)] for group in groups]
        axis.plot(*zip(*means, strict=True), color=colour, linewidth=1.8, label=name)
        x, y = zip(*(point for group in groups for point in group), strict=True)
        axis.scatter(x, y, color=colour, s=26, zorder=3)
        axis.set_xticks([x for x, _ in means], [f"{x:.3g}" for x, _ in means])
    for name, level in (levels or {}).items():
        axis.axhline(level, color="#555555", linewidth=1, linestyle="--")
        axis.annotate(name, (0.99, level), xycoords=("axes fraction", "data"), va="bottom", ha="right", fontsize=9)
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set(title=title, xlabel=x_name, ylabel=y_name)
    if len(curves) > 1:
        axis.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
