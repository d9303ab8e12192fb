"""What `segment` shows of a run that is done, or planned."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unetctl.cli import output
from unetctl.cli.wording import (
    bytes_text,
    counted,
    path_text,
    percent_text,
    pixels_text,
    safe_text,
    seconds_text,
    size_text,
)

if TYPE_CHECKING:
    from unetctl.runtime.report import PlanReport, SegmentReport


def show(report: SegmentReport) -> None:
    """Print what was made, how fast, in how much memory, and where the time went."""
    height, width = report.image_yx
    pixels = report.planes * height * width
    seconds = report.seconds["total"] - report.seconds["start"]
    output.heading(path_text(report.output))
    output.pairs(
        [
            ("image", _image_text(report)),
            ("tiles", _tiles_text(report)),
            ("speed", f"{report.mpx_per_second:.2f} Mpx/s: {pixels_text(pixels)} in {seconds_text(seconds)}"),
            ("memory", f"{bytes_text(report.peak_memory_bytes)} at its peak, of {bytes_text(report.max_memory_bytes)}"),
            ("time", _time_text(report)),
            ("classes", _classes_text(report, pixels)),
            ("preview", path_text(report.preview) if report.preview else ""),
        ]
    )
    for one in report.notices:
        output.notice(f"notice: {one}")


def show_plan(report: PlanReport) -> None:
    """Print what a run would do and what it would take."""
    output.heading(f"{path_text(report.image)}: a plan, nothing was run")
    memory = f"{bytes_text(report.expected_memory_bytes)} at its peak, of {bytes_text(report.max_memory_bytes)}"
    output.pairs(
        [
            ("image", _image_text(report)),
            ("tiles", _tiles_text(report)),
            ("network", f"{report.multiply_adds / 1e12:,.3g} million million multiply-adds"),
            ("waste", f"{report.waste:.3f} times the multiply-adds of the image as one tile"),
            ("computed", f"{report.computed_over_kept:.3f} pixels go into the network for one that is kept"),
            ("memory", memory),
            ("disk", f"about {bytes_text(report.expected_disk_bytes)} while it runs"),
        ]
    )


def as_json(report: SegmentReport | PlanReport) -> dict[str, Any]:
    """Return a report as plain JSON values: its fields, under their names."""
    return asdict(report)


def _image_text(report: SegmentReport | PlanReport) -> str:
    planes = f", {counted(report.planes, 'plane')}" if report.planes > 1 else ""
    return f"{size_text(report.image_yx)}{planes}"


def _tiles_text(report: SegmentReport | PlanReport) -> str:
    largest = size_text(report.read_shapes[0])
    return f"{report.tiles:,} of up to {largest}, {counted(len(report.read_shapes), 'shape')}"


def _time_text(report: SegmentReport) -> str:
    """Say where the time went: the parts of the wall time one after the other, and how busy the network was."""
    names = {"start": "to start", "statistics": "to measure the image", "tiles": "for the tiles", "finish": "to finish"}
    parts = [f"{seconds_text(report.seconds[key])} {text}" for key, text in names.items() if report.seconds.get(key)]
    return f"{', '.join(parts)}; the network was at work for {percent_text(report.engine_share)}"


def _classes_text(report: SegmentReport, pixels: int) -> str:
    return ", ".join(f"{safe_text(name)} {percent_text(count / pixels)}" for name, count in report.class_pixels.items())
