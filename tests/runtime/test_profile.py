"""Where the time went: what the stages waited for is told apart, and the trace is one that Perfetto can draw."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fakes import FakeEngine, fake_choice
from tests.runtime.test_pipeline import stages
from tests.runtime.test_segmentation import MODEL, RESOURCES, broken_choice, picture
from unetctl.runtime import segmentation
from unetctl.runtime.engine import Result
from unetctl.runtime.errors import ResourceError, StorageError
from unetctl.runtime.pipeline import run_pipeline
from unetctl.runtime.profile import Profile
from unetctl.runtime.random_access import RandomAccessFile
from unetctl.runtime.report import SegmentReport, StageProfile
from unetctl.runtime.segmentation import segment_file
from unetctl.runtime.trace import Trace

NOTHING_MOVED = dict.fromkeys(("read", "network", "write", "finish"), (0, 0))
PAUSE_S = 0.02


def pause(*_: object) -> None:
    time.sleep(PAUSE_S)


def profiled(slots: int = 2, **slow: Callable[..., object]) -> dict[str, StageProfile]:
    """Run ten jobs through stages of which some are slow."""
    profile = Profile()
    run_pipeline(range(10), stages(**slow), slots=slots, observer=profile)
    return {one.stage: one for one in profile.stages(NOTHING_MOVED)}


def test_a_slow_reader_is_what_the_network_waits_for() -> None:
    found = profiled(fill=pause)

    assert found["read"].busy >= 10 * PAUSE_S
    assert found["network"].waited_for_input > 10 * found["network"].waited_for_output
    assert found["network"].waited_for_input > 0.8 * found["read"].busy


def test_a_slow_writer_is_what_the_network_waits_for() -> None:
    found = profiled(drain=pause)

    assert found["write"].busy >= 10 * PAUSE_S
    assert found["network"].waited_for_output > 5 * PAUSE_S
    assert found["network"].waited_for_output > 10 * found["network"].waited_for_input
    assert found["read"].waited_for_output > 5 * PAUSE_S


def test_a_slow_network_waits_for_nothing() -> None:
    found = profiled(collect=pause)

    assert found["network"].busy >= 10 * PAUSE_S
    assert found["network"].waited_for_input + found["network"].waited_for_output < 2 * PAUSE_S
    assert min(found["read"].waited_for_output, found["write"].waited_for_input) > 5 * PAUSE_S


def test_tiles_in_flight_together_are_not_counted_twice() -> None:
    profile, started = Profile(), time.perf_counter()
    run_pipeline(range(10), stages(collect=pause), slots=3, observer=profile)
    wall = time.perf_counter() - started
    network = profile.stages(NOTHING_MOVED)[1]

    assert network.busy + network.waited_for_input + network.waited_for_output <= wall


def events_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def refuse_overlaps(events: list[dict[str, Any]]) -> None:
    """Raise unless the spans of every row nest in each other or follow each other, as the format demands."""
    rows = defaultdict(list)
    for one in events:
        if one["ph"] == "X":
            begin = round(one["ts"] * 1e3)
            rows[one["tid"]].append((begin, begin + round(one["dur"] * 1e3)))
    for row, spans in rows.items():
        open_ends: list[int] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_ends and open_ends[-1] <= begin:
                open_ends.pop()
            if open_ends and end > open_ends[-1]:
                raise ValueError(
                    f"row {row}: a span from {begin} to {end} ns overlaps one that ends at {open_ends[-1]}"
                )
            open_ends.append(end)


def segmented(folder: Path, **options: Any) -> SegmentReport:
    path, _ = picture(folder, (1300, 2600))
    output = folder / "a.labels.ome.tif"
    options = {"model": MODEL, "engine": fake_choice(), "resources": RESOURCES, **options}
    return segment_file(path, output=output, profiled=True, **options)


def test_a_trace_has_a_named_row_for_each_thread_and_spans_that_never_overlap(tmp_path: Path) -> None:
    report = segmented(tmp_path)
    assert report.profile is not None
    assert report.profile.trace == tmp_path / "a.labels.trace.json"
    events = events_of(report.profile.trace)

    names = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
    assert sorted(names.values()) == ["engine", "main", "reader 1", "writer 1"]
    assert {one["ph"] for one in events} == {"M", "X", "C"}
    assert all(one["pid"] == 1 and one["tid"] in {0, *names} for one in events)
    assert all(one["ts"] >= 0 and one.get("dur", 0) >= 0 for one in events if one["ph"] != "M")
    refuse_overlaps(events)
    for stage in ("read", "network", "write"):
        assert sum(one["name"] == stage for one in events) == report.tiles


def test_spans_that_overlap_are_seen() -> None:
    row = [{"ph": "X", "tid": 1, "ts": ts, "dur": 10.0} for ts in (0.0, 9.9)]
    with pytest.raises(ValueError, match="overlaps"):
        refuse_overlaps(row)
    refuse_overlaps([{**one, "tid": number} for number, one in enumerate(row)])


def test_spans_that_follow_each_other_still_do_in_microseconds(tmp_path: Path) -> None:
    moments = np.cumsum(np.random.default_rng(0).random(500) * 1e-6) + 12345.6789
    with Trace(tmp_path / "t.json", origin=12000.0) as trace:
        for started, ended in pairwise(moments):
            trace.span("x", started, ended)
    refuse_overlaps(events_of(tmp_path / "t.json"))


def test_a_trace_that_was_cut_off_can_be_read_to_its_last_whole_event(tmp_path: Path) -> None:
    with Trace(tmp_path / "t.json", origin=0.0) as trace:
        for second in range(3):
            trace.span("x", second, second + 1)
    lines = (tmp_path / "t.json").read_text().splitlines()

    assert len(json.loads("\n".join(lines[:-2]).rstrip(",") + "]")) == len(lines) - 3


def test_the_trace_agrees_with_the_sums_and_the_sums_with_the_file(tmp_path: Path) -> None:
    report = segmented(tmp_path)
    assert report.profile is not None
    events = events_of(report.profile.trace)
    found = {one.stage: one for one in report.profile.stages}
    spans = {name: sum(one["dur"] for one in events if one["name"] == name) / 1e6 for name in ("network", "finish")}

    assert spans["network"] == pytest.approx(found["network"].busy, rel=1e-6, abs=1e-6)
    assert found["network"].busy == pytest.approx(report.seconds["network"])
    assert spans["finish"] == pytest.approx(found["finish"].busy, abs=1e-6)
    with tifffile.TiffFile(tmp_path / "slide.tif") as file:
        assert found["read"].bytes_in == sum(file.pages.first.databytecounts), "each chunk is read once"
    assert found["network"].bytes_out == found["write"].bytes_in == 1300 * 2600
    assert found["finish"].bytes_out == report.output.stat().st_size
    assert all(one.threads == 1 for one in found.values())


def test_a_slow_disk_is_waited_for_and_is_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = RandomAccessFile._read_at

    def slow(self: RandomAccessFile, offset: int, size: int) -> bytes:
        pause()
        return fast(self, offset, size)

    monkeypatch.setattr(RandomAccessFile, "_read_at", slow)
    report = segmented(tmp_path)
    assert report.profile is not None
    read = report.profile.stages[0]

    assert read.waited_for_input >= 66 * PAUSE_S  # chunks of 256 px
    assert read.busy + read.waited_for_input == pytest.approx(report.seconds["read"])


def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(segmentation, "Profile")
    path, _ = picture(tmp_path, (100, 100))
    output = tmp_path / "a.ome.tif"
    report = segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES)

    assert report.profile is None
    assert not list(tmp_path.glob("*.trace.json"))
    with pytest.raises(NameError):
        segmented(tmp_path)


def test_a_run_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    class Failing(FakeEngine):
        def result(self, slot: int) -> Result:
            raise ResourceError("seeded")

    with pytest.raises(ResourceError, match="seeded"):
        segmented(tmp_path, engine=broken_choice(Failing))
    assert [one.name for one in tmp_path.iterdir()] == ["slide.tif"]


def test_a_disk_that_takes_no_trace_is_named(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("NOT RUN: this system has no /dev/full")
    (tmp_path / "t.json").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="the disk is full"), Trace(tmp_path / "t.json", origin=0.0) as trace:
        trace.span("x", 0.0, 1.0)
