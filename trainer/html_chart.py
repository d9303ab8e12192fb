"""Line charts for `unetctl.trainer.html_page`, drawn by the browser: sharp, light and dark, and readable on a phone.

The curves are SVG that is stretched to the width there is; words and figures are HTML over it and are not stretched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unetctl.trainer.html_page import Html, element, escaped

ACCENT, SECOND, INK, SOFT = "var(--accent)", "var(--second)", "var(--ink)", "var(--soft)"
"""Colours of the page, which change with light and dark."""

TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve, by points `(x, y)`, x rising; its name stands under the chart."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    """`(x, low, high)`: an area behind the curve"""
    has_dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What is shown: x from 0 to `x_last`, y from `y_first` to `y_last`; what lies beyond stands at the edge."""

    x_last: float
    y_first: float
    y_last: float
    x_name: str
    y_name: str

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return a point in per cent from the left and from the top."""
        height = min(1, max(0, (self.y_last - y) / (self.y_last - self.y_first)))
        return round(100 * x / self.x_last, 3), round(100 * height, 3)


def chart(lines: Sequence[Line], axes: Axes, *, mark: tuple[float, str] | None = None) -> Html:
    """Return a chart; `mark` is an x with a dotted line and its words."""
    said = f"{axes.y_name} over {axes.x_name}: {', '.join(line.name for line in lines)}"
    ys, xs = ticks(axes.y_first, axes.y_last), ticks(0, axes.x_last)
    grid = "".join(f"M0 {axes.place(0, y)[1]}h100" for y in ys)
    paths = [f'<path class="grid" d="{grid}"/>', *(_drawn(line, axes) for line in lines)]
    labels = [_label("y", "top", axes.place(0, y)[1], f"{y:g}") for y in ys]
    labels += [_label("x", "left", axes.place(x, axes.y_last)[0], f"{x:,.10g}") for x in xs]
    if mark is not None:
        at = axes.place(mark[0], axes.y_last)[0]
        paths.append(f'<path class="mark" d="M{at} 0v100"/>')
        labels.append(_label("mark" if at < 90 else "mark left", "left", at, mark[1]))
    box = '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
    drawn = Html(f"{box}{''.join(paths)}</svg>{''.join(labels)}")
    plot = Html(f'<div class="chart" role="img" aria-label="{escaped(said)}">{drawn}</div>')
    keys = (
        Html(f'<li><span class="key" style="background:{one.colour}"></span>{escaped(one.name)}</li>') for one in lines
    )
    heading = element("div", f"{axes.y_name}, by {axes.x_name}", kind="axis")
    return element("div", heading, plot, element("ul", *keys, kind="keys"), kind="plot")


def ticks(first: float, last: float) -> list[float]:
    """Return about `TICKS` round numbers from `first` to `last`."""
    rough = (last - first) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [
        round(number * step, 12) for number in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)
    ]


def seen_on_both(colour: str) -> str:
    """Return a class's colour, `#rrggbb`, so that its line is seen on white and on black."""
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    brightness = 0.3 * red + 0.6 * green + 0.1 * blue
    if brightness < 0.15:
        return SOFT
    return colour if brightness < 0.7 else f"color-mix(in srgb, {colour} 60%, {INK})"


def _drawn(line: Line, axes: Axes) -> str:
    points = [axes.place(x, y) for x, y in line.points]
    found = ""
    if line.band:
        edge = [axes.place(x, high) for x, _, high in line.band] + [
            axes.place(x, low) for x, low, _ in reversed(line.band)
        ]
        found += f'<path class="band" style="fill:{line.colour}" d="{_joined(edge)}Z"/>'
    if points:
        found += f'<path style="stroke:{line.colour}" d="{_joined(points)}"/>'
    if points and (
        line.has_dots or len(points) == 1
    ):  # a line of no length with round ends is a dot, however stretched
        dots = "".join(f"M{x} {y}h0" for x, y in points)
        found += f'<path class="dots" style="stroke:{line.colour}" d="{dots}"/>'
    return found


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _label(kind: str, side: str, at: float, text: str) -> str:
    return f'<span class="{kind}" style="{side}:{at}%">{escaped(text)}</span>'
