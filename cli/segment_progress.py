"""How far `segment` is, in words: which phase, how fast, how long still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.cli.progress import Update
from unetctl.cli.wording import path_text

if TYPE_CHECKING:
    from unetctl.runtime.report import SegmentProgress

PHASES = {
    "recall": "looking at what is done",
    "statistics": "measuring",
    "tiles": "segmenting",
    "publish": "writing",
}


def segment_progress(image: Path, update: Update) -> Callable[[SegmentProgress], None]:
    """Return what hands the progress of a run to `update`; what was done before the phase does not count as speed."""

    def on_progress(now: SegmentProgress) -> None:
        title = f"{path_text(image.name)}: {PHASES[now.phase]}"
        if now.phase != "publish" and now.done_px > now.begun_px and now.seconds:
            speed = (now.done_px - now.begun_px) / now.seconds
            left_s = (now.total_px - now.done_px) / speed
            update(now.done_px, now.total_px, f"{speed / 1e6:.2f} Mpx/s", left_s=left_s, title=title)
        else:
            update(0, 0, title=title)

    return on_progress
