"""A run that is killed, wherever it is, loses nothing: the same call goes on, to the same file, bit by bit."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import fake_model
from tests.runtime import continuing
from tests.runtime.continuing import BLANK, CHOICE, MIB, MODEL, RESOURCES, Minding, Outcome, segment_stack
from tests.runtime.test_run_folder import hold
from unetctl.runtime import continuation, run_folder, run_identity, segmentation, store
from unetctl.runtime import run as run_module
from unetctl.runtime.engine import Result
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import OutputError, ResourceError, StorageError, UsageError
from unetctl.runtime.journal import RECORD_BYTES
from unetctl.runtime.planned import plan_file
from unetctl.runtime.report import ContinuedReport, SegmentProgress
from unetctl.runtime.spec import Scope
from unetctl.runtime.tile_choice import AS_PLANNED, TileChoice

posix = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: SIGKILL is POSIX")
TILES = 18


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return continuing.make_image(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def undisturbed(stack: Path) -> Outcome:
    """What a run gives that nobody stops."""
    found = continuing.outcome(segment_stack(stack))
    assert found.blank.tiles == 9
    return found


@pytest.fixture
def image(stack: Path, undisturbed: Outcome) -> Path:
    """The image, and nothing beside it."""
    continuing.clean(stack)
    return stack


def engine_that(at_result: Callable[[int], None]) -> Any:
    """Return an engine that calls `at_result` with the number of each batch that it has computed, from 1."""

    class Counting(Minding):
        count = 0

        def result(self, slot: int) -> Result:
            self.count += 1
            at_result(self.count)
            return super().result(slot)

    return dataclasses.replace(CHOICE, open=Counting)


def failing(error: BaseException, at: int = 5) -> Any:
    """Return an engine that raises at one batch."""

    def fail(number: int) -> None:
        if number == at:
            raise error

    return engine_that(fail)


def stop(image: Path, **options: Any) -> dict[str, bytes]:
    """Stop a run in its midst and return what is in its folder."""
    with pytest.raises(continuing.StopError):
        segment_stack(image, engine=failing(continuing.StopError(), at=7), **options)
    return continuing.contents(continuing.folder_of(image))


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


MIXED: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": dataclasses.replace(MODEL, sha256="1" * 64)}, "the model .* was 0{12} and is 1{12}"),
    "engine": ({"engine": dataclasses.replace(CHOICE, description="fake 2.0")}, "engine was fake 1.0 .* is fake 2.0"),
    "precision": ({"engine": dataclasses.replace(CHOICE, hint="bf16")}, "--precision was fp32 and is bf16"),
    "threads": ({"resources": dataclasses.replace(RESOURCES, threads=2)}, "--threads was 1 and is 2"),
    "blank": ({"blank": None}, "blank tiles was 4 and is not given"),
    "series": ({"series": 0}, "--series was not given and is 0"),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_was_computed_otherwise_is_refused_and_stays(image: Path, undisturbed: Outcome, name: str) -> None:
    options, words = MIXED[name]
    left = stop(image, command="unetctl segment it")
    for _ in range(2):
        with pytest.raises(UsageError, match=rf"\d+ of its 18 tiles are done[\s\S]*{words}") as caught:
            segment_stack(image, **options)
    assert continuing.contents(continuing.folder_of(image)) == left
    assert "go on (unetctl segment it), or add --restart" in str(caught.value)

    assert continuing.outcome(segment_stack(image, command="")).class_pixels == undisturbed.class_pixels


def test_another_processor_is_seen(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(image)
    monkeypatch.setattr(run_identity, "_processor", lambda: "another")
    with pytest.raises(UsageError, match=r"cause: *the processor was [0-9a-f]{12} and is another"):
        segment_stack(image)


def test_another_image_of_the_same_name_and_size_is_seen(image: Path, tmp_path: Path) -> None:
    stop(image)
    (tmp_path / "stack.tif").write_bytes(image.read_bytes())
    with pytest.raises(UsageError, match="the time when the image was changed was"):
        segment_stack(tmp_path / "stack.tif", output=continuing.output_of(image))
    changed = bytearray(image.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "stack.tif").write_bytes(changed)
    os.utime(tmp_path / "stack.tif", ns=(0, image.stat().st_mtime_ns))
    with pytest.raises(UsageError, match=r"cause: *the content of the image was"):
        segment_stack(tmp_path / "stack.tif", output=continuing.output_of(image))


def test_restart_discards_what_was_done(image: Path, undisturbed: Outcome) -> None:
    stop(image)
    report = segment_stack(image, restart=True)
    assert report.continued is None
    assert continuing.outcome(report) == undisturbed


def test_without_a_finished_tile_anything_may_begin_anew(image: Path) -> None:
    with pytest.raises(continuing.StopError):
        segment_stack(image, engine=failing(continuing.StopError(), at=1), blank=None)
    folder = continuing.folder_of(image)
    folder.mkdir(exist_ok=True)  # as after a kill: with a record, and no tile
    (folder / "run.json").write_bytes(b"{}")
    report = segment_stack(image, model=fake_model(depth=2, classes=5, scope=Scope.IMAGE), resources=RESOURCES)
    assert report.continued is None


@pytest.mark.parametrize("shape", [(556, 556), (1068, 1068)])
def test_the_tiles_stay_what_they_were_whatever_would_be_planned_now(
    image: Path, undisturbed: Outcome, shape: tuple[int, int]
) -> None:
    stop(image)
    otherwise = dataclasses.replace(CHOICE, fixed_shapes=lambda _: (shape,))
    report = segment_stack(image, engine=otherwise)
    assert report.continued is not None
    assert continuing.outcome(report) == undisturbed


@pytest.mark.parametrize(
    ("begun", "now"),
    [
        (AS_PLANNED, TileChoice(batch=4, streams=2, slots=2)),
        (TileChoice(batch=2, streams=3, slots=5), AS_PLANNED),
    ],
)
def test_batch_and_streams_stay_what_they_were_whatever_was_tuned_since(
    image: Path, undisturbed: Outcome, begun: TileChoice, now: TileChoice
) -> None:
    asked: list[EngineRequest] = []

    def opened(request: EngineRequest) -> Minding:
        asked.append(request)
        return Minding(request)

    with continuing.stopped_at("write_ome_tiff"):
        segment_stack(image, resources=dataclasses.replace(RESOURCES, tiles=begun))
    journal = continuing.folder_of(image) / "journal.bin"
    journal.write_bytes(journal.read_bytes()[: 9 * RECORD_BYTES])
    report = segment_stack(
        image,
        engine=dataclasses.replace(CHOICE, open=opened),
        resources=dataclasses.replace(RESOURCES, tiles=now),
    )
    assert report.continued is not None
    assert continuing.outcome(report).class_pixels == undisturbed.class_pixels
    (request,) = asked
    assert (request.batch, request.streams) == (begun.batch, begun.streams)
    assert request.slots >= begun.streams + 2


def test_less_memory_than_these_tiles_need_is_said_with_both_ways_out(image: Path) -> None:
    left = stop(image)
    little = dataclasses.replace(
        CHOICE,
        fixed_shapes=lambda _: ((556, 556),),
        bytes_needed=lambda _, shape, *__: MIB if shape == (556, 556) else 1 << 40,
    )
    with pytest.raises(ResourceError, match=r"the run that is continued[\s\S]*--max-memory .*or --restart"):
        segment_stack(image, engine=little)
    assert continuing.contents(continuing.folder_of(image)) == left
    assert segment_stack(image, engine=little, restart=True).tiles > TILES


@pytest.mark.parametrize("kind", [ResourceError, OutputError, KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_error_says_what_is_saved_and_how_to_go_on(
    image: Path, undisturbed: Outcome, kind: type[BaseException]
) -> None:
    with pytest.raises(kind) as caught:
        segment_stack(image, engine=failing(kind("seeded"), at=7), preview=False)
    said = getattr(caught.value, "saved", "") or "".join(caught.value.__notes__)
    plan = plan_file(
        image, model=MODEL, engine=CHOICE, resources=RESOURCES, blank=BLANK, output=continuing.output_of(image)
    )
    assert plan.continued is not None
    assert said == f"{plan.continued.tiles} of 18 tiles; the same command goes on from there"

    assert continuing.outcome(segment_stack(image)) == undisturbed


def test_a_run_that_was_restarted_says_to_leave_that_out(image: Path) -> None:
    with pytest.raises(ResourceError, match="the same command without --restart goes on"):
        segment_stack(image, engine=failing(ResourceError("seeded"), at=7), restart=True)


def test_a_full_disk_costs_the_chunk_that_did_not_fit(
    image: Path, undisturbed: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, written = store._write_at, [0]

    def full(descriptor: int, offset: int, data: bytes) -> None:
        written[0] += len(data)
        if written[0] > 400_000:
            own(descriptor, offset, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        own(descriptor, offset, data)

    with monkeypatch.context() as seeded:
        seeded.setattr(store, "_write_at", full)
        with pytest.raises(StorageError, match=r"the disk is full[\s\S]*of 18 tiles.*; nothing at the output's path"):
            segment_stack(image)
    report = segment_stack(image)

    assert report.continued is not None
    assert continuing.outcome(report) == undisturbed


def test_a_disk_that_fails_before_the_first_tile_is_an_error_of_ours(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as seeded:
        seeded.setattr(run_identity, "_sample", fail)
        with pytest.raises(StorageError, match=r"stack\.tif cannot be read\n *cause: *Input/output error"):
            segment_stack(image)
    with monkeypatch.context() as seeded:
        seeded.setattr(continuation, "write_record", fail)
        with pytest.raises(StorageError, match=r"writing failed[\s\S]*cause: .*Input/output error"):
            segment_stack(image)


def test_labels_that_were_put_aside_need_no_folder(image: Path) -> None:
    output = continuing.output_of(image)
    with pytest.raises(OutputError, match="appeared during the run"):
        segment_stack(image, engine=engine_that(lambda _: output.write_bytes(b"a stranger's") and None))
    assert not continuing.folder_of(image).exists()


def test_a_preview_that_fails_needs_no_folder_either(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise continuing.StopError

    monkeypatch.setattr(segmentation, "write_atomically", fail)
    with pytest.raises(continuing.StopError):
        segment_stack(image)
    assert continuing.output_of(image).exists()
    assert not continuing.folder_of(image).exists()


@posix
def test_two_runs_cannot_go_on_at_once(image: Path) -> None:
    left = stop(image)
    with hold(continuing.output_of(image)) as process:
        try:
            with pytest.raises(OutputError, match=f"process {process.pid}"):
                segment_stack(image)
        finally:
            process.kill()
    assert continuing.contents(continuing.folder_of(image)).keys() == left.keys()


def test_a_plan_says_what_is_left_and_refuses_what_a_run_would(image: Path) -> None:
    given: dict[str, Any] = {"engine": CHOICE, "resources": RESOURCES, "blank": BLANK}
    given["output"] = continuing.output_of(image)
    assert plan_file(image, model=MODEL, **given).continued is None
    left = stop(image)
    planned = plan_file(image, model=MODEL, **given).continued
    with pytest.raises(UsageError, match="the model"):
        plan_file(image, model=dataclasses.replace(MODEL, sha256="1" * 64), **given)
    assert plan_file(image, model=dataclasses.replace(MODEL, sha256="1" * 64), restart=True, **given).continued is None
    assert continuing.contents(continuing.folder_of(image)) == left
    assert segment_stack(image).continued == planned
