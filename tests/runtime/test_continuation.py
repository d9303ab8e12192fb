"""A run that is killed, wherever it is, loses nothing: the same call goes on, to the same file, bit by bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime import continuing
from tests.runtime.continuing import (
    BLANK,
    CHOICE,
    MODEL,
    RESOURCES,
    TILES,
    Outcome,
    engine_that,
    posix,
    segment_stack,
    stop,
)
from unetctl.runtime import run as run_module
from unetctl.runtime import run_folder
from unetctl.runtime.planned import plan_file
from unetctl.runtime.report import ContinuedReport, SegmentProgress


@posix
@pytest.mark.parametrize(
    ("where", "count", "least"),
    [
        *(("tile", 1, 0), ("tile", 7, 1), ("record", 9, 1), ("half a record", 9, 1)),
        *(("pyramid", 3, TILES), ("write_ome_tiff", 1, TILES), ("verify_ome_tiff", 1, TILES), ("publish", 1, TILES)),
    ],
)
def test_a_run_killed_anywhere_goes_on_to_the_same_result(
    image: Path, undisturbed: Outcome, where: str, count: int, least: int
) -> None:
    continuing.killed(image, where, count)
    assert not continuing.output_of(image).exists()
    report = segment_stack(image)

    assert continuing.outcome(report) == undisturbed
    assert (report.continued.tiles if report.continued else 0) >= least
    assert report.continued is None or report.continued.total_tiles == TILES


@posix
def test_a_run_that_is_killed_again_and_again_goes_on_each_time(image: Path, undisturbed: Outcome) -> None:
    found: list[ContinuedReport] = []
    for where in ("tile", "tile", "continuing", "half a record"):
        continuing.killed(image, where, 1 if where == "continuing" else 4)
        plan = plan_file(
            image, model=MODEL, engine=CHOICE, resources=RESOURCES, blank=BLANK, output=continuing.output_of(image)
        )
        assert plan.continued is not None
        found.append(plan.continued)
    report = segment_stack(image)

    assert continuing.outcome(report) == undisturbed
    assert report.continued is not None
    there = [one.tiles for one in (*found, report.continued)]
    assert there == sorted(there)
    assert there[1] == there[2] < there[3]


def test_what_is_done_is_not_done_again(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(image)
    monkeypatch.setattr(run_module, "plane_statistics", lambda *_: pytest.fail("the image was measured again"))
    computed: list[int] = []
    seen: list[SegmentProgress] = []
    told: list[ContinuedReport] = []
    report = segment_stack(
        image, engine=engine_that(computed.append), on_progress=seen.append, on_continued=told.append
    )

    assert told == [report.continued]
    assert told[0].tiles + len(computed) <= TILES
    tiles = [one for one in seen if one.phase == "tiles"]
    assert {one.begun_px for one in tiles} == {told[0].pixels}
    assert min(one.done_px for one in tiles) > told[0].pixels
    assert max(one.done_px for one in tiles) == np.prod(continuing.SHAPE)


def test_a_profile_counts_what_went_through_this_time(image: Path) -> None:
    stop(image)
    report = segment_stack(image, profiled=True)
    assert report.continued is not None
    assert report.profile is not None
    found = {one.stage: one for one in report.profile.stages}
    left_px = int(np.prod(continuing.SHAPE)) - report.continued.pixels
    assert found["write"].bytes_in == left_px
    assert 0 < found["network"].bytes_out <= left_px
    assert 0 < found["write"].bytes_out < found["finish"].bytes_in


def test_statistics_that_were_measured_outlive_a_run_without_a_tile(
    image: Path, undisturbed: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise continuing.StopError

    def keep(*_: Any, **__: Any) -> None:
        """As a kill would, leave the folder as it is."""

    with monkeypatch.context() as seeded:
        seeded.setattr(run_folder.RunFolder, "clear", keep)
        seeded.setattr(run_folder.shutil, "rmtree", keep)
        with pytest.raises(continuing.StopError):
            segment_stack(image, engine=engine_that(fail), blank=None)
    monkeypatch.setattr(run_module, "plane_statistics", lambda *_: pytest.fail("the image was measured again"))
    report = segment_stack(image, blank=None)
    assert report.continued is None
    assert sum(report.class_pixels.values()) == sum(undisturbed.class_pixels.values())


def test_when_only_the_file_is_missing_no_engine_is_opened(image: Path, undisturbed: Outcome) -> None:
    with continuing.stopped_at("write_ome_tiff"):
        segment_stack(image)
    nobody = dataclasses.replace(CHOICE, open=lambda _: pytest.fail("an engine was opened"))

    assert continuing.outcome(segment_stack(image, engine=nobody, profiled=True)) == undisturbed
