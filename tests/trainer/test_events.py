from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from tests.trainer.project import write_png, write_toml
from unetctl.runtime.errors import StorageError
from unetctl.trainer.events import Events
from unetctl.trainer.runs import RunFolder, opened


def read(path: Path) -> Iterator[Any]:
    """Read a file's events with TensorFlow's own definitions of them, and check every checksum."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        event = data[at + 12 : at + 12 + size]
        sums = struct.unpack_from("<I", data, at + 8) + struct.unpack_from("<I", data, at + 12 + size)
        assert sums == (masked_crc32c(data[at : at + 8]), masked_crc32c(event))
        yield Event.FromString(event)
        at += 16 + size


def numbers(path: Path) -> dict[tuple[int, str], float]:
    return {
        (event.step, one.tag): one.simple_value
        for event in read(path)
        for one in event.summary.value
        if one.HasField("simple_value")
    }


def test_steps_scores_and_picture_are_read_back(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    write_png(picture, np.zeros((4, 300, 3), np.uint8))
    with Events(tmp_path / "events", 1) as events:
        events.step(1, 0.5, 0.25)
        events.step(300, 0.125, 0.0625)
        events.validation(300, {"dice a <b>": 0.75, "absent": math.nan}, picture)
    (path,) = (tmp_path / "events").iterdir()
    assert numbers(path) == {
        (1, "training/loss"): 0.5,
        (1, "training/learning_rate"): 0.25,
        (300, "training/loss"): 0.125,
        (300, "training/learning_rate"): 0.0625,
        (300, "validation/dice a <b>"): 0.75,
    }
    first, *_, last = read(path)
    assert first.file_version == "brain.Event:2"
    image = last.summary.value[0].image
    assert (last.step, image.height, image.width, image.colorspace) == (300, 4, 300, 3)
    assert image.encoded_image_string == picture.read_bytes()


def test_a_continued_run_supersedes_the_steps_that_the_stopped_one_lost(tmp_path: Path) -> None:
    with Events(tmp_path, 1) as events:
        for step in range(1, 9):
            events.step(step, 1.0, 0.1)
    stopped = (tmp_path / "events.out.tfevents.000001").read_bytes()
    with Events(tmp_path, 6) as events:
        events.step(6, 2.0, 0.1)
    first, second = sorted(tmp_path.iterdir())
    assert first.read_bytes() == stopped
    start = list(read(second))[1]
    assert (start.step, start.session_log.status) == (6, start.session_log.START)
    assert numbers(second)[6, "training/loss"] == 2.0


def test_what_a_validation_said_is_on_the_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    events = Events(tmp_path, 1)
    events.step(1, 0.5, 0.1)
    (path,) = tmp_path.iterdir()
    assert not numbers(path), "steps are kept in memory"
    events.validation(1, {"mean_dice": 0.5})
    assert len(numbers(path)) == 3
    events.close()


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as if the disk were full."""
    resource = pytest.importorskip("resource", reason="NOT RUN: this system cannot limit the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_stops_the_run_at_once_and_says_so(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    write_png(picture, np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    run = RunFolder(path=tmp_path / "runs" / "r")

    def train() -> None:
        with opened(run, write_toml(tmp_path, "")), Events(run.events, 1) as events, files_up_to(8192):
            events.validation(1, {}, picture)

    with pytest.raises(StorageError, match="cannot be written"):
        train()


def test_a_full_disk_does_not_hide_why_a_run_stopped(tmp_path: Path) -> None:
    def train() -> None:
        with files_up_to(64), Events(tmp_path, 1) as events:
            events.step(1, 0.5, 0.1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
