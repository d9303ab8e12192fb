"""What a stopped run left is refused to another command, kept when something fails, and taken up with its own tiles."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import fake_model
from tests.runtime import continuing
from tests.runtime.continuing import (
    BLANK,
    CHOICE,
    MIB,
    MODEL,
    RESOURCES,
    TILES,
    Minding,
    Outcome,
    engine_that,
    failing,
    posix,
    segment_stack,
    stop,
)
from tests.runtime.test_run_folder import hold
from unetctl.runtime import continuation, run_identity, segmentation, store
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import OutputError, ResourceError, StorageError, UsageError
from unetctl.runtime.journal import RECORD_BYTES
from unetctl.runtime.planned import plan_file
from unetctl.runtime.spec import Scope
from unetctl.runtime.tile_choice import AS_PLANNED, TileChoice

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
        bytes_needed=lambda request: MIB if request.shapes[0] == (556, 556) else 1 << 40,
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
