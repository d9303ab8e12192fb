"""What `segment` shows of a run that is done, or planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unetctl.cli import output
from unetctl.cli.described import averaging_text
from unetctl.cli.models import as_typed
from unetctl.cli.tuned import TunedRun
from unetctl.cli.wording import (
    bytes_text,
    count_text,
    counted,
    path_text,
    percent_text,
    pixels_text,
    safe_text,
    seconds_text,
    size_text,
)

if TYPE_CHECKING:
    from unetctl.runtime.report import BlankReport, ContinuedReport, PlanReport, ProfileReport, SegmentReport


def show_choices(run: TunedRun, why_model: str) -> None:
    """Say which model runs, on what, and in which precision, and why; and what of it was tuned."""
    model, choice = run.runnable.model, run.runnable.choice
    output.notice(f"model: {path_text(as_typed(model.path))}{why_model}")
    if averaging := averaging_text(model.record.averaging):
        output.notice(f"averages: {averaging}")
    output.notice(f"engine: {choice.description}: {choice.reason}")
    if choice.precision_reason:
        output.notice(f"precision: {choice.precision(model)}: {safe_text(choice.precision_reason)}")
    if run.text:
        output.notice(run.text)


def show(report: SegmentReport) -> None:
    """Print what was made, how fast, in how much memory, and where the time went."""
    output.heading(path_text(report.output))
    output.pairs(
        [
            ("image", _image_text(report)),
            ("tiles", _tiles_text(report)),
            ("continued", _continued_text(report.continued) if report.continued else ""),
            ("speed", _speed_text(report)),
            ("memory", f"{_memory_text(report)} at its peak, of {bytes_text(report.max_memory_bytes)} allowed"),
            ("time", _phases_text(report)),
            ("stages", _stages_text(report)),
            ("classes", _classes_text(report)),
            ("skipped", _blank_text(report.blank) if report.blank else ""),
            ("preview", path_text(report.preview) if report.preview else ""),
        ]
    )
    if report.profile is not None:
        _show_profile(report, report.profile)
    _show_notices(report)


def show_continued(continued: ContinuedReport) -> None:
    """Say that a run goes on where another stopped."""
    output.notice(f"continued: {_continued_text(continued)}")


def show_briefly(report: SegmentReport) -> None:
    """Print one line for one of many images."""
    output.result(f"{path_text(report.output)}  {_speed_text(report)}, {_memory_text(report)}")
    _show_notices(report)


def show_plan(report: PlanReport, seconds: float) -> None:
    """Print what a run would do and what it would take, `seconds` among it."""
    output.heading(f"{path_text(report.image)}: a plan, nothing was run")
    memory = f"{bytes_text(report.expected_memory_bytes)} at its peak, of {bytes_text(report.max_memory_bytes)} allowed"
    output.pairs(
        [
            ("image", _image_text(report)),
            ("tiles", _tiles_text(report)),
            ("continues", _left_text(report.continued) if report.continued else ""),
            (
                "network",
                f"{count_text(report.multiply_adds)} multiply-adds, {report.waste:.3f} times those of one tile",
            ),
            ("computed", f"{report.computed_over_kept:.3f} pixels go into the network for each that is kept"),
            ("memory", memory),
            ("disk", f"about {bytes_text(report.expected_disk_bytes)} while it runs"),
            ("time", f"about {seconds_text(seconds)}, from the speed of a golden tile on this machine"),
        ]
    )
    _show_notices(report)


def _image_text(report: SegmentReport | PlanReport) -> str:
    planes = f", {counted(report.planes, 'plane')}" if report.planes > 1 else ""
    return f"{size_text(report.image_yx)}{planes}"


def _tiles_text(report: SegmentReport | PlanReport) -> str:
    largest = size_text(report.read_shapes[0])
    if len(report.read_shapes) == 1:
        return f"{report.tiles:,} of {largest}"
    return f"{report.tiles:,} of up to {largest}, in {len(report.read_shapes)} shapes"


def _continued_text(continued: ContinuedReport) -> str:
    return f"{continued.tiles:,} of {counted(continued.total_tiles, 'tile')} were there"


def _left_text(continued: ContinuedReport) -> str:
    left = continued.total_tiles - continued.tiles
    return f"a stopped run: {continued.tiles:,} of {counted(continued.total_tiles, 'tile')} are there, {left:,} left"


def _speed_text(report: SegmentReport) -> str:
    seconds = report.seconds["total"] - report.seconds["start"]
    labelled_px = _pixels(report) - (report.continued.pixels if report.continued else 0)
    return f"{pixels_text(labelled_px)} in {seconds_text(seconds)}, {report.mpx_per_second:.2f} Mpx/s"


def _memory_text(report: SegmentReport) -> str:
    return bytes_text(report.peak_memory_bytes) if report.peak_memory_bytes else "unknown memory"


def _phases_text(report: SegmentReport) -> str:
    """Say how the time was spent, one phase after the other."""
    names = {"start": "to start", "statistics": "to measure the image", "tiles": "for the tiles", "finish": "to finish"}
    spent = ((seconds_text(report.seconds[key]), text) for key, text in names.items())
    return ", ".join(f"{seconds} {text}" for seconds, text in spent if seconds != "0 s")


def _stages_text(report: SegmentReport) -> str:
    """Say how busy each stage was while the tiles went through, side by side."""
    names = ("read", "network", "write")
    worked = ", ".join(f"{name} {seconds_text(report.seconds[name])}" for name in names)
    return f"{worked}; the network waited {seconds_text(report.seconds['network_waited'])}"


def _show_profile(report: SegmentReport, profile: ProfileReport) -> None:
    """Print what each stage did and waited for, and how much of the time the network was at work."""
    output.result()
    headers = ("stage", "threads", "busy, s", "for input, s", "for output, s", "processor, s", "MB in", "MB out")
    rows = [
        [
            one.stage,
            str(one.threads),
            *(f"{seconds:.2f}" for seconds in (one.busy, one.waited_for_input, one.waited_for_output, one.processor)),
            *(f"{count / 1e6:.1f}" for count in (one.bytes_in, one.bytes_out)),
        ]
        for one in profile.stages
    ]
    output.table(headers, rows)
    output.result()
    output.pairs(
        [
            ("network", f"at work {percent_text(report.engine_share)} of the time, start-up apart"),
            ("trace", f"{path_text(profile.trace)}: open it at ui.perfetto.dev, it stays on this machine"),
        ]
    )


def _classes_text(report: SegmentReport) -> str:
    shares = ((name, count / _pixels(report)) for name, count in report.class_pixels.items())
    return ", ".join(f"{safe_text(name)} {percent_text(share)}" for name, share in shares)


def _blank_text(blank: BlankReport) -> str:
    where = f"{counted(blank.tiles, 'blank tile')}, {pixels_text(blank.pixels)}, {percent_text(blank.share)}"
    return f"{where} of the image, labelled {safe_text(blank.label)}"


def _show_notices(report: SegmentReport | PlanReport) -> None:
    for one in report.notices:
        output.notice(f"notice: {one}")


def _pixels(report: SegmentReport) -> int:
    return report.planes * report.image_yx[0] * report.image_yx[1]
