"""The search for what is fastest on a machine: one setting after another against the best so far, in pairs.

    best      *       *  *       *  *            one round of each, in turns, so that what else the machine does at the
    rival        *  *       *  *       *  ...    time hits both; what decides is the ratio of a pair, and never a rate

A rival takes the place of the best only if it wins all but one of `PAIRS` pairs, by more than `CLEARLY` in the median;
so two lost pairs end it, and so does one that is hopeless. The best of many measurements looks better than it is, so
the last is measured once more against the default, and what that says is the gain. Nothing here knows an engine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from unetctl.runtime.errors import UnetctlError
from unetctl.runtime.tile_choice import TileChoice

PAIRS = 7
"""With no difference at all, 6 of 7 are won once in 16 times; and then by more than `CLEARLY` less often still."""

CLEARLY = 1.02
"""Ratio of speeds from which a change is worth its name: what is tuned is remembered, and surprises are not free."""

HOPELESS = 0.8
"""A first pair below it is not repeated."""

OVERWHELMING = 1.2
"""Three pairs above it need no more."""

FEWEST_PAIRS = 3
"""A gain over the default is told only if so many pairs say it."""

SEARCH_PART = 0.8
"""Of the time; the rest is for the last measurement against the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All that is tuned."""

    engine: str
    precision: str
    threads: int
    tiles: TileChoice


Measure = Callable[[Setting], float]
"""Return the kept megapixels a second of one round. Raises `UnetctlError` for a setting that cannot run."""

Axis = Callable[[Setting], Iterable[Setting]]
"""Return the rivals of the best so far that differ from it in one respect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one rival."""

    setting: Setting
    mpx_per_second: float
    """In the median of its rounds."""
    ratio: float
    """Its speed over that of the default, by way of the best at the time; 0 if it could not run."""
    pairs: int
    is_better: bool
    """It became the best."""
    why_not: str = ""
    """Why it could not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the search found."""

    default: Setting
    best: Setting
    """The default, if nothing is clearly better."""
    default_mpx_per_second: float
    mpx_per_second: float
    gain: float
    """Speed of the best over that of the default, measured once more at the end; 1 for the default."""
    trials: tuple[Trial, ...]
    is_complete: bool
    """The time sufficed for everything that was to be tried, and what was best did not fail at the end."""


@dataclass(slots=True)
class Duel:
    """Pairs of rounds of a rival and the best."""

    rates: list[tuple[float, float]]
    """Of the rival, and of the best beside it."""

    @property
    def ratios(self) -> list[float]:
        return [rival / best for rival, best in self.rates]

    @property
    def is_decided(self) -> bool:
        """Tell whether further pairs could change nothing."""
        ratios = self.ratios
        lost = sum(one <= 1 for one in ratios)
        return lost > 1 or ratios[0] < HOPELESS or self._is_overwhelming() or len(ratios) >= PAIRS

    @property
    def is_won(self) -> bool:
        """Tell whether the rival is clearly better."""
        return self._is_overwhelming() or (len(self.rates) >= PAIRS and self.is_confirmed)

    @property
    def is_confirmed(self) -> bool:
        """Tell whether these pairs say so, though the time sufficed for no more: then not one of them may be lost."""
        may_lose = 1 if len(self.rates) >= PAIRS else 0
        lost = sum(one <= 1 for one in self.ratios)
        return len(self.rates) >= FEWEST_PAIRS and lost <= may_lose and median(self.ratios) > CLEARLY

    def _is_overwhelming(self) -> bool:
        return len(self.rates) >= FEWEST_PAIRS and min(self.ratios) > OVERWHELMING


def search(
    default: Setting,
    axes: Sequence[Axis],
    measure: Measure,
    *,
    seconds: float,
    start: Setting | None = None,
    clock: Callable[[], float] = time.monotonic,
    on_trial: Callable[[Setting, Sequence[Trial]], None] = lambda *_: None,
) -> Outcome:
    """Look for a setting that is clearly faster than `default`, axis by axis, for about `seconds` from when that runs.

    After a rival has won, its own rivals on that axis are tried; the axes are gone through until none has a better one.
    Where rounds of the default take long, the search goes out from `start` in its place, with one pair between them.
    `on_trial` is told what is tried next, and what was so far. Raises what `measure` raises of the default.
    """
    best, best_ratio = default, 1.0
    trials: list[Trial] = []
    on_trial(default, trials)
    default_rate = measure(default)
    begun = clock()  # an engine may be built for minutes before it runs at all
    search_until, end = begun + SEARCH_PART * seconds, begun + seconds
    tried = {default}
    if start is not None and start != default:
        on_trial(start, trials)
        first = _trial(start, default, 1.0, measure, until=begun, clock=clock)
        best, best_ratio = (default, 1.0) if first.why_not else (start, first.ratio)
        tried.add(start)
        trials.append(first)
    is_improving, is_complete = True, True
    while is_improving and is_complete:
        is_improving = False
        for axis in axes:
            rivals = deque(axis(best))
            while rivals and is_complete:
                rival = rivals.popleft()
                if rival in tried:
                    continue
                if clock() >= search_until:
                    is_complete = False
                    break
                tried.add(rival)
                on_trial(rival, trials)
                trial = _trial(rival, best, best_ratio, measure, until=search_until, clock=clock)
                trials.append(trial)
                if trial.is_better:
                    best, best_ratio, is_improving = rival, trial.ratio, True
                    rivals = deque(axis(best))
    gain, rate = 1.0, default_rate
    if best != default:
        on_trial(best, trials)
        try:
            last = _duel(best, default, measure, until=end, clock=clock, is_last=True)
        except UnetctlError:  # what failed once may fail in a run
            best, is_complete = default, False
        else:
            rate, default_rate = (median(rates) for rates in zip(*last.rates, strict=True))
            gain = median(last.ratios)
            if not last.is_confirmed:
                best, gain, rate = default, 1.0, default_rate
    return Outcome(
        default=default,
        best=best,
        default_mpx_per_second=default_rate,
        mpx_per_second=rate,
        gain=gain,
        trials=tuple(trials),
        is_complete=is_complete,
    )


def _trial(
    rival: Setting, best: Setting, best_ratio: float, measure: Measure, *, until: float, clock: Callable[[], float]
) -> Trial:
    try:
        duel = _duel(rival, best, measure, until=until, clock=clock)
    except UnetctlError as error:
        why_not = f"{error.what}: {error.cause}" if error.cause else error.what
        return Trial(setting=rival, mpx_per_second=0, ratio=0, pairs=0, is_better=False, why_not=why_not)
    return Trial(
        setting=rival,
        mpx_per_second=median(one for one, _ in duel.rates),
        ratio=best_ratio * median(duel.ratios),
        pairs=len(duel.rates),
        is_better=duel.is_won,
    )


def _duel(
    rival: Setting,
    best: Setting,
    measure: Measure,
    *,
    until: float,
    clock: Callable[[], float],
    is_last: bool = False,
) -> Duel:
    """Measure in pairs until it is decided or the time is up; the last one to its end, unless there is no time."""
    duel = Duel([])
    while not duel.rates or (clock() < until and not (len(duel.rates) >= PAIRS if is_last else duel.is_decided)):
        if len(duel.rates) % 2:
            best_rate, rival_rate = measure(best), measure(rival)
        else:
            rival_rate, best_rate = measure(rival), measure(best)
        duel.rates.append((rival_rate, best_rate))
    return duel
