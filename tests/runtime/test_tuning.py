"""The search finds the best of a made-up machine through its noise, and keeps the default where nothing is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from unetctl.runtime.errors import ResourceError
from unetctl.runtime.tile_choice import AS_PLANNED
from unetctl.runtime.tuning import CLEARLY, PAIRS, Axis, Duel, Outcome, Setting, Trial, search

DEFAULT = Setting(engine="one", precision="fp32", threads=4, tiles=AS_PLANNED)


def engines(best: Setting) -> Iterator[Setting]:
    yield from (replace(best, engine=name) for name in ("one", "two", "three"))


def threads(best: Setting) -> Iterator[Setting]:
    yield from (replace(best, threads=count) for count in (best.threads // 2, best.threads * 2) if 1 <= count <= 8)


def batches(best: Setting) -> Iterator[Setting]:
    for batch in (best.tiles.batch * 2, best.tiles.batch // 2):
        if 1 <= batch <= 8:
            yield replace(best, tiles=replace(best.tiles, batch=batch))


AXES: tuple[Axis, ...] = (engines, threads, batches)


@dataclass
class Machine:
    """Speeds that somebody thought of, with noise, on a clock that only measuring moves."""

    speed: Callable[[Setting], float]
    noise: float = 0.0
    """Of the speed of the whole machine, which drifts, and a tenth of it from round to round."""
    seed: int = 0
    round_s: float = 0.5
    now: float = 0.0
    rounds: list[Setting] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = np.random.default_rng(self.seed)

    def measure(self, setting: Setting) -> float:
        self.rounds.append(setting)
        self.now += self.round_s
        drift = 1 + self.noise * np.sin(self.now / 30)
        return float(self.speed(setting) * drift * (1 + self.noise / 10 * self._draw.standard_normal()))

    def tune(self, seconds: float = 1000, axes: tuple[Axis, ...] = AXES) -> Outcome:
        return search(DEFAULT, axes, self.measure, seconds=seconds, clock=lambda: self.now)


def hill(setting: Setting) -> float:
    """Fastest with engine two, 8 threads and a batch of 4, which help together only."""
    engine = {"one": 1.0, "two": 1.5, "three": 0.4}[setting.engine]
    return engine * (1 + setting.threads / 8) * (1.2 - 0.1 * abs(np.log2(setting.tiles.batch / 4)))


def flat(_: Setting) -> float:
    return 1.0


@pytest.mark.parametrize("seed", range(5))
def test_the_best_is_found_through_noise(seed: int) -> None:
    found = Machine(hill, noise=0.3, seed=seed).tune()
    best = found.best
    assert (best.engine, best.threads, best.tiles.batch) == ("two", 8, 4)
    assert found.is_complete
    assert found.gain == pytest.approx(hill(best) / hill(DEFAULT), rel=0.1)
    chained = next(one.ratio for one in found.trials if one.setting == best)
    assert chained == pytest.approx(found.gain, rel=0.15)


def test_the_default_is_kept_where_nothing_is_better() -> None:
    found = [Machine(flat, noise=0.3, seed=seed).tune() for seed in range(200)]
    wrong = [one for one in found if one.best != DEFAULT]
    assert len(wrong) <= 4, "in one of fifty searches on a noisy machine noise may win, and then nothing is lost"
    assert all(one.gain == 1 for one in found if one.best == DEFAULT)


def test_a_little_faster_is_not_clearly_faster() -> None:
    def speed(setting: Setting) -> float:
        return 1.01 if setting.engine == "two" else 1.0

    assert CLEARLY > 1.01
    assert Machine(speed).tune().best == DEFAULT
    assert Machine(lambda one: 1.05 if one.engine == "two" else 1.0).tune().best.engine == "two"


def test_what_only_looked_better_is_found_out_at_the_end() -> None:
    machine = Machine(flat)

    def speed(setting: Setting) -> float:
        return 1.5 if setting.engine == "two" and len(machine.rounds) < 10 else 1.0

    machine.speed = speed
    found = machine.tune(axes=(engines,))
    assert any(one.is_better for one in found.trials)
    assert (found.best, found.gain) == (DEFAULT, 1)


def test_the_hopeless_and_the_beaten_get_few_rounds() -> None:
    machine = Machine(lambda one: {"one": 1.0, "two": 0.5, "three": 0.97}[one.engine])
    machine.tune(axes=(engines,))
    tried = {name: sum(one.engine == name for one in machine.rounds) for name in ("two", "three")}
    assert tried == {"two": 1, "three": 2}


def test_pairs_take_turns_so_that_a_drift_favours_nobody() -> None:
    machine = Machine(lambda one: 1.05 if one.engine == "two" else 1.0)
    machine.tune(axes=(engines,))
    first = [one.engine for one in machine.rounds[1:5]]
    assert first == ["two", "one", "one", "two"]


@pytest.mark.parametrize("seconds", [0.1, 5, 20, 60])
def test_it_keeps_to_its_time(seconds: float) -> None:
    machine = Machine(hill, noise=0.3)
    found = machine.tune(seconds=seconds)
    assert machine.now <= machine.round_s + seconds + 4 * machine.round_s, "two pairs are begun at most"
    assert not found.is_complete or seconds == 60
    if seconds < 1:
        assert found.best == DEFAULT


def test_what_was_not_measured_at_the_end_is_no_gain() -> None:
    """Three pairs win the search, and then no time is left to measure them against the default."""
    found = Machine(lambda one: 2.0 if one.engine == "two" else 1.0).tune(seconds=4)
    assert any(one.is_better for one in found.trials)
    assert found.best == DEFAULT


def test_what_cannot_run_is_told_and_left() -> None:
    def speed(setting: Setting) -> float:
        if setting.engine == "two":
            raise ResourceError("too large", cause="the memory is used up")
        return hill(setting)

    found = Machine(speed).tune()
    failed = [one for one in found.trials if one.setting.engine == "two"]
    assert {(one.why_not, one.ratio) for one in failed} == {("too large: the memory is used up", 0)}
    assert not any(one.why_not for one in found.trials if one not in failed)
    assert (found.best.engine, found.best.threads) == ("one", 8)
    with pytest.raises(ResourceError):
        Machine(lambda _: speed(replace(DEFAULT, engine="two"))).tune()


def test_an_engine_that_fails_in_the_last_measurement_costs_only_its_gain() -> None:
    told: list[Setting] = []
    machine = Machine(hill)

    def measure(setting: Setting) -> float:
        if len(told) > 1 and told[-1] in told[:-1]:  # it is tried again: that is the last time
            raise ResourceError("it ended while it was measured")
        return machine.measure(setting)

    found = search(
        DEFAULT, AXES, measure, seconds=1000, clock=lambda: machine.now, on_trial=lambda one, _: told.append(one)
    )
    assert any(one.is_better for one in found.trials)
    assert (found.best, found.gain, found.is_complete) == (DEFAULT, 1, False)
    assert found.mpx_per_second == found.default_mpx_per_second == pytest.approx(hill(DEFAULT))


def test_progress_is_told_before_each_setting() -> None:
    told: list[tuple[Setting, int]] = []

    def on_trial(setting: Setting, trials: object) -> None:
        assert isinstance(trials, list)
        assert all(isinstance(one, Trial) for one in trials)
        told.append((setting, len(trials)))

    machine = Machine(hill)
    found = search(DEFAULT, AXES, machine.measure, seconds=1000, clock=lambda: machine.now, on_trial=on_trial)
    assert told[0] == (DEFAULT, 0)
    assert [one for one, _ in told[1:-1]] == [one.setting for one in found.trials]
    assert told[-1] == (found.best, len(found.trials))


def test_one_lost_pair_of_seven_is_forgiven_and_two_are_not() -> None:
    won, lost = (1.1, 1.0), (0.9, 1.0)
    assert Duel([won] * 6 + [lost]).is_won
    assert not Duel([won] * 5 + [lost] * 2).is_won
    assert Duel([won, lost, lost]).is_decided
    assert not Duel([won] * 5).is_won
    assert not Duel([won] * 6).is_decided
    assert Duel([won] * PAIRS).is_decided
    assert Duel([(1.3, 1.0)] * 3).is_won


def test_the_search_goes_out_from_where_rounds_are_short() -> None:
    """Large batches are a tenth faster, and threads are compared on small ones."""
    machine = Machine(lambda one: (1 + one.threads / 8) * (1.1 if one.tiles.batch == 8 else 1.0))
    default = replace(DEFAULT, tiles=replace(AS_PLANNED, batch=8))
    small = replace(DEFAULT, tiles=AS_PLANNED)

    def largest(best: Setting) -> Iterator[Setting]:
        yield replace(best, tiles=default.tiles)

    found = search(default, (threads, largest), machine.measure, seconds=1000, start=small, clock=lambda: machine.now)
    first, *others = found.trials
    assert (first.setting, first.pairs, first.is_better) == (small, 1, False)
    assert first.ratio == pytest.approx(1 / 1.1)
    assert {one.setting.tiles for one in others if one.setting.threads < 8} == {small.tiles}
    assert found.best == replace(default, threads=8)
    assert found.gain == pytest.approx(2 / 1.5)
    kept = search(default, (largest,), machine.measure, seconds=1000, start=small, clock=lambda: machine.now)
    assert kept.best == default
