"""Tune: search the space of a model on this machine, and say what was tried in how much memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unetctl.runtime.system import free_memory_bytes
from unetctl.runtime.tuning import Outcome, Setting, Trial, search
from unetctl.runtime.tuning_measure import Bench
from unetctl.runtime.tuning_process import Opener
from unetctl.runtime.tuning_space import TuningSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A setting, and the tiles and the memory that it takes."""

    largest_yx: tuple[int, int]
    """What its largest tile keeps."""
    expected_bytes: int
    """Of a run, by prediction: this is held to the budget."""
    peak_bytes: int
    """Of the process that it was measured in; 0 if it did not come so far, or where the system does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningResult:
    """What tuning found."""

    outcome: Outcome
    tried: Mapping[Setting, Tried]


def tune(
    space: TuningSpace,
    openers: Mapping[tuple[str, str], Opener],
    *,
    seconds: float,
    on_round: Callable[[Setting, Sequence[Trial]], None] = lambda *_: None,
) -> TuningResult:
    """Search for about `seconds` from when the default runs.

    `openers` open each of the space's engines in another process. `on_round` is told before each round which setting is
    tried, and what was so far. Raises `ResourceError` if nothing fits into the
    budget, and what the default's engine raises.
    """
    default = space.default
    space.plan(default)
    now: list[tuple[Setting, Sequence[Trial]]] = []

    def on_setting(setting: Setting, trials: Sequence[Trial]) -> None:
        now[:] = [(setting, trials)]

    def measure(setting: Setting) -> float:
        on_round(*now[0])
        return bench.measure(setting)

    with Bench(openers, space.plan, memory_bytes=free_memory_bytes()) as bench:
        outcome = search(default, space.axes, measure, seconds=seconds, start=space.start, on_trial=on_setting)
    tried = {}
    for setting in (default, *(one.setting for one in outcome.trials)):
        plan = space.plan(setting)
        tried[setting] = Tried(
            largest_yx=plan.tiles.largest_yx,
            expected_bytes=plan.expected_bytes,
            peak_bytes=bench.peak_bytes.get(setting, 0),
        )
    return TuningResult(outcome=outcome, tried=tried)
