"""The pipeline: everything once, side by side, and the first error ends it."""

import threading
import time
from collections.abc import Callable

import pytest

from unetctl.runtime.pipeline import Stages, run_pipeline


def nothing(*_: object) -> None:
    """Do nothing."""


def stages(**replaced: Callable[..., object]) -> Stages[int, object]:
    """Return stages that do nothing but what is replaced."""
    return Stages(**{"fill": nothing, "submit": nothing, "collect": nothing, "drain": nothing, **replaced})  # type: ignore[arg-type]


@pytest.mark.parametrize(("slots", "readers", "writers"), [(1, 1, 1), (2, 1, 1), (3, 2, 2), (2, 4, 3)])
def test_every_job_is_drained_once_with_its_own_result(slots: int, readers: int, writers: int) -> None:
    memory = [-1] * slots
    drained: list[tuple[int, int]] = []

    def fill(slot: int, job: int) -> None:
        memory[slot] = job

    def collect(slot: int, _: int) -> int:
        return memory[slot] ** 2

    def drain(job: int, result: int) -> None:
        drained.append((job, result))

    run_pipeline(
        range(200),
        stages(fill=fill, collect=collect, drain=drain),
        slots=slots,
        readers=readers,
        writers=writers,
    )

    assert sorted(drained) == [(job, job**2) for job in range(200)]


def test_no_jobs_is_a_short_run() -> None:
    assert run_pipeline([], stages(), slots=2).compute == 0


def test_a_slot_is_never_filled_while_it_is_in_use() -> None:
    busy = [threading.Lock() for _ in range(3)]
    slot_of: dict[int, int] = {}

    def fill(slot: int, job: int) -> None:
        assert busy[slot].acquire(blocking=False)
        slot_of[job] = slot

    def drain(job: int, _: object) -> None:
        time.sleep(0.001)
        busy[slot_of[job]].release()

    run_pipeline(range(60), stages(fill=fill, drain=drain), slots=3, readers=2, writers=2)

    assert len(slot_of) == 60


def test_stages_overlap() -> None:
    """Each stage waits for the next job to enter the stage before it: one after the other, they would wait for ever."""
    filled, collected = [threading.Event() for _ in range(8)], [threading.Event() for _ in range(8)]

    def fill(_: int, job: int) -> None:
        filled[job].set()

    def collect(_: int, job: int) -> None:
        assert job == 7 or filled[job + 1].wait(20), "the next job is not filled while this one is computed"
        collected[job].set()

    def drain(job: int, _: object) -> None:
        assert job == 7 or collected[job + 1].wait(20), "the next job is not computed while this one is drained"

    times = run_pipeline(range(8), stages(fill=fill, collect=collect, drain=drain), slots=3)

    assert times.wall < 20


def test_the_times_of_the_stages_add_up() -> None:
    def work(*_: object) -> None:
        time.sleep(0.01)

    times = run_pipeline(range(10), stages(fill=work, collect=work, drain=work), slots=3)

    assert min(times.fill, times.compute, times.drain) >= 0.1
    assert times.compute + times.engine_waited <= times.wall + 0.01


@pytest.mark.parametrize("stage", ["fill", "submit", "collect", "drain"])
def test_the_first_error_of_any_stage_ends_the_run_and_is_raised(stage: str) -> None:
    done: list[int] = []

    def fail(first: int, second: object = None) -> None:
        job = first if stage == "drain" else second
        if job == 5:
            raise RuntimeError(f"seeded in {stage}")

    replaced: dict[str, Callable[..., object]] = {stage: fail}
    if stage != "drain":
        replaced["drain"] = lambda job, _: done.append(job)
    with pytest.raises(RuntimeError, match=f"seeded in {stage}"):
        run_pipeline(range(10_000), stages(**replaced), slots=2)

    assert len(done) < 100


def test_an_error_in_the_jobs_themselves_is_raised() -> None:
    def jobs():
        yield 1
        raise RuntimeError("seeded in the jobs")

    with pytest.raises(RuntimeError, match="seeded in the jobs"):
        run_pipeline(jobs(), stages(), slots=2)


def test_ctrl_c_ends_the_run_at_once_though_the_engine_hangs() -> None:
    import _thread

    hanging = threading.Event()
    threading.Timer(0.2, _thread.interrupt_main).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(range(10), stages(collect=lambda *_: hanging.wait(20)), slots=2)
    hanging.set()

    assert time.monotonic() - started < 3
