"""What is left to say when a run is done: its seconds, the bytes of its stages, and what the user should know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unetctl.runtime.blank import BlankTiles
from unetctl.runtime.fit import fit_notices
from unetctl.runtime.profile import Profile
from unetctl.runtime.recall import Recalled
from unetctl.runtime.report import ContinuedReport, ProfileReport, SegmentReport
from unetctl.runtime.result_names import preview_path, trace_path
from unetctl.runtime.run import Run, Timings
from unetctl.runtime.system import peak_memory_bytes


def profile_report(
    profile: Profile, run: Run, blank: BlankTiles, there: Recalled, *, encoded_bytes: int, output: Path
) -> ProfileReport:
    """Put the bytes that went through the stages beside their times; what was `there` did not."""
    info, tiles = run.source.info, run.memory.tiles
    a_pixel, read_px = info.channels * np.dtype(info.dtype).itemsize, info.planes * tiles.read_px() - there.read_px
    kept_px = run.total_px - there.kept_px
    blank_read_px, blank_kept_px = blank.read_px - there.blank_read_px, blank.kept_px - there.blank_kept_px
    moved = {
        "read": (profile.read_bytes, read_px * a_pixel),
        "network": ((read_px - blank_read_px) * a_pixel, kept_px - blank_kept_px),
        "write": (kept_px, encoded_bytes - there.encoded_bytes),
        "finish": (encoded_bytes, output.stat().st_size),
    }
    return ProfileReport(trace=trace_path(output), stages=profile.stages(moved))


def segment_report(
    run: Run,
    output: Path,
    *,
    preview: bool,
    seconds: Mapping[str, float],
    class_pixels: Mapping[str, int],
    skipped: BlankTiles,
    continued: ContinuedReport | None,
    profile: ProfileReport | None,
) -> SegmentReport:
    """Put together what a run did."""
    info, tiles = run.source.info, run.memory.tiles
    working = seconds["total"] - seconds["start"]
    labelled_px = run.total_px - (continued.pixels if continued else 0)
    blank = run.model.spec.classes[run.blank].name if run.blank is not None else None
    return SegmentReport(
        image=info.path,
        output=output,
        preview=preview_path(output) if preview else None,
        image_yx=tiles.image_yx,
        planes=info.planes,
        tiles=len(tiles) * info.planes,
        read_shapes=tiles.read_shapes(),
        engine=run.engine.description,
        precision=run.precision,
        seconds=seconds,
        engine_share=seconds["network"] / working,
        mpx_per_second=labelled_px / 1e6 / working,
        peak_memory_bytes=peak_memory_bytes(),
        max_memory_bytes=run.resources.max_memory_bytes,
        class_pixels=class_pixels,
        blank=skipped.report(blank, run.total_px) if blank is not None else None,
        profile=profile,
        continued=continued,
        notices=notices_of(run),
    )


def notices_of(run: Run) -> tuple[str, ...]:
    """Return what the user should know though nothing failed."""
    peak, allowed = peak_memory_bytes(), run.resources.max_memory_bytes
    more = (f"{(peak - allowed) / 2**20:,.0f} MiB more memory than allowed were used",) if peak > allowed else ()
    return (*planned_notices(run), *more)


def planned_notices(run: Run) -> tuple[str, ...]:
    """Return what the user should know before a run."""
    memory, notices = run.memory, [*fit_notices(run.source.info, run.model.spec)]
    if run.is_tuning_left_out:
        notices.append("what was tuned needs more memory than is allowed: tiles go through as without tuning")
    if memory.bytes_to_decode_once > memory.expected_bytes:
        enough = f"--max-memory {-(-memory.bytes_to_decode_once // 2**20)}MiB"
        notices.append(f"parts of the image are decoded more than once, under borders of tiles; not so with {enough}")
    return tuple(notices)


def seconds_of(timings: Timings, *, total: float, finish: float) -> dict[str, float]:
    """Return the seconds of a run as `SegmentReport` has them, from its whole time and that of its last steps."""
    stages = timings.stages
    return {
        "total": total,
        "start": total - finish - stages.wall - timings.statistics,
        "statistics": timings.statistics,
        "tiles": stages.wall,
        "finish": finish,
        "read": stages.fill,
        "network": stages.compute,
        "write": stages.drain,
        "network_waited": stages.engine_waited,
    }
