"""What a run says of itself: while it goes, before it goes, and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentProgress:
    """How far a run is; handed to a callback from the threads that do the work."""

    phase: str
    """`"recall"` (what a stopped run did), `"statistics"`, `"tiles"` or `"publish"` (pyramid, file, verification)"""
    done_px: int
    total_px: int
    seconds: float
    """Since the phase was begun."""
    begun_px: int = 0
    """What was done when it was begun."""


OnProgress = Callable[[SegmentProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuedReport:
    """What was there of a run that was stopped."""

    tiles: int
    """Of all planes."""
    total_tiles: int
    pixels: int


OnContinued = Callable[[ContinuedReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What a run would do, worked out without running it."""

    image: str
    image_yx: tuple[int, int]
    planes: int
    engine: str
    precision: str
    tiles: int
    """Of all planes."""
    read_shapes: tuple[tuple[int, int], ...]
    """The distinct input shapes `(H, W)` of the tiles."""
    multiply_adds: int
    waste: float
    """Multiply-adds of the plan over those of the image as one tile."""
    computed_over_kept: float
    """Pixels that go into the network over pixels that are kept."""
    expected_memory_bytes: int
    max_memory_bytes: int
    expected_disk_bytes: int
    """While the run goes: the chunk store and the output, which are as large as each other; label images vary."""
    continued: ContinuedReport | None
    """What is there already, if the run would go on where another stopped."""
    notices: tuple[str, ...]
    """What the user should know before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlankReport:
    """What a run left out because nothing was there."""

    label: str
    """The class it got."""
    tiles: int
    pixels: int
    share: float
    """Of all pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProfile:
    """One stage, in seconds summed over its threads, and in bytes."""

    stage: str
    """`"read"`, `"network"`, `"write"` or `"finish"`"""
    threads: int
    busy: float
    waited_for_input: float
    waited_for_output: float
    processor: float
    """Processor time; that of the network is what the whole process took less what the other threads took."""
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReport:
    """Where the time of a run went."""

    trace: Path
    """What each thread did and when; ui.perfetto.dev opens it."""
    stages: tuple[StageProfile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """What a run did."""

    image: str
    output: Path
    preview: Path | None
    image_yx: tuple[int, int]
    planes: int
    tiles: int
    read_shapes: tuple[tuple[int, int], ...]
    engine: str
    precision: str
    """What the network was computed in."""
    seconds: Mapping[str, float]
    """`total` = `start` (image, plan, what a stopped run left, engine) + `statistics` + `tiles` + `finish` (pyramid,
    file, check, picture); the work of each stage during `tiles`: `read`, `network`, `write`; and `network_waited`, when
    it had no tile."""
    engine_share: float
    """Part of the wall time of everything but `start` in which the network was at work."""
    mpx_per_second: float
    """Megapixels labelled a second of all that time; those that were there do not count."""
    peak_memory_bytes: int
    max_memory_bytes: int
    class_pixels: Mapping[str, int]
    blank: BlankReport | None
    """What was left out, if that was asked for."""
    profile: ProfileReport | None
    """If it was asked for."""
    continued: ContinuedReport | None
    """What was there, if the run went on where another had stopped."""
    notices: tuple[str, ...]
    """What the user should know though nothing failed."""
