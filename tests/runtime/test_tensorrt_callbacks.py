"""What TensorRT calls back: shares that only grow, and no exception that leaves."""

from __future__ import annotations

from threading import Thread

import pytest

from tests.fake_tensorrt import fake_module
from tests.runtime.tensorrt_names import common_names
from unetctl.runtime.tensorrt_callbacks import KEPT_MESSAGES, BuildProgress, make_log, make_monitor

TRT = fake_module(common_names(), [], lambda _: None, None)


def test_phases_within_steps_are_one_share_of_the_whole() -> None:
    seen: list[float] = []
    progress = BuildProgress(lambda share, _: seen.append(share))
    monitor = make_monitor(TRT, progress)
    monitor.phase_start("build", None, 2)
    monitor.phase_start("time the layers", "build", 4)
    assert all(monitor.step_complete("time the layers", index) for index in range(4))
    monitor.phase_finish("time the layers")
    monitor.step_complete("build", 0)
    monitor.step_complete("build", 1)
    monitor.phase_finish("build")
    assert seen == [0, 0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 1, 1]


def test_a_phase_that_comes_again_does_not_run_the_share_back() -> None:
    seen: list[float] = []
    progress = BuildProgress(lambda share, _: seen.append(share))
    for _ in range(2):
        progress.start("build", 2)
        progress.step("build", 0)
        progress.finish("build")
    assert seen == sorted(seen)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("of the caller"), SystemExit(2)])
def test_no_exception_leaves_a_callback_and_the_build_is_asked_to_stop(error: BaseException) -> None:
    calls = []

    def fails(share: float, phase: str) -> None:
        calls.append((share, phase))
        raise error

    progress = BuildProgress(fails)
    monitor = make_monitor(TRT, progress)
    monitor.phase_start("build", None, 2)
    assert monitor.step_complete("build", 0) is False
    assert progress.stopped_by is error
    assert len(calls) == 1, "after that nobody is told any more"


def test_a_step_of_an_unknown_phase_and_none_at_all_are_taken() -> None:
    progress = BuildProgress(lambda _share, _phase: None)
    assert progress.step("never started", 3)
    assert progress.start("empty", 0)
    assert progress.finish("never started either")


def test_threads_of_the_library_may_call_at_once() -> None:
    progress = BuildProgress(lambda _share, _phase: None)

    def phases(name: str) -> None:
        for index in range(300):
            progress.start(f"{name} {index}", 3)
            progress.step(f"{name} {index}", 1)
            progress.finish(f"{name} {index}")

    threads = [Thread(target=phases, args=(str(number),)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert progress.stopped_by is None


def test_the_log_keeps_errors_and_not_warnings_and_not_without_end() -> None:
    log = make_log(TRT)
    severity = TRT.ILogger.Severity
    log.log(severity.WARNING, "this is slow")
    log.log(severity.INTERNAL_ERROR, "a\nfailure  within")
    log.log(severity.ERROR, "it failed")
    assert log.errors == ["a failure within", "it failed"]
    for _ in range(2 * KEPT_MESSAGES):
        log.log(severity.ERROR, "again")
    assert len(log.errors) == KEPT_MESSAGES
