"""Runs to stop and to continue: a stack with blank ground, an engine that minds statistics, what a run must give."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tifffile

from tests.data import ROOT
from tests.fakes import FakeEngine, fake_choice, fake_model
from unetctl.runtime import segmentation
from unetctl.runtime.engine import Result
from unetctl.runtime.report import SegmentReport
from unetctl.runtime.run import Resources
from unetctl.runtime.run_folder import run_folder_of
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics

MIB = 1 << 20
RESOURCES = Resources(max_memory_bytes=4096 * MIB, threads=1, readers=2, writers=2)
MODEL = fake_model(depth=2, classes=5, scope=Scope.IMAGE)
BLANK = 4
SHAPE = (2, 1500, 2300)


WHEN = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00|urn:uuid:[-0-9a-f]{36}"
"""What differs between two files of one run: when it was, which OME's UUID is too."""


class Minding(FakeEngine):
    """Its label is the pixel plus a figure of its plane's statistics, modulo the classes."""

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        super().submit(slot, statistics)
        assert statistics is not None
        self.figures = {**getattr(self, "figures", {}), slot: int(1e9 * statistics.shift[0] * statistics.scale[0])}

    def result(self, slot: int) -> Result:
        labels = (super().result(slot).labels + np.int64(self.figures[slot])) % 5
        return Result(labels=labels.astype(np.uint8), probabilities=None)


TWO_CHUNKS = (556, 1068)
CHOICE = dataclasses.replace(fake_choice(), open=Minding, fixed_shapes=lambda _: (TWO_CHUNKS,))
"""Its tiles are two chunks, however much memory the process that tests holds already."""


def make_image(folder: Path, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write two planes, the second another, each with a wide margin of one value."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels[0, :, shape[2] * 3 // 7 :] = 7
    pixels[1, :, shape[2] * 2 // 3 :] = 9
    path = folder / "stack.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), compression="zlib", photometric="minisblack")
    return path


def segment_stack(image: Path, **options: Any) -> SegmentReport:
    """Segment the image beside itself."""
    given: dict[str, Any] = {"model": MODEL, "engine": CHOICE, "resources": RESOURCES, "blank": BLANK}
    return segmentation.segment_file(image, **{"output": output_of(image), **given, **options})


def output_of(image: Path) -> Path:
    """Return where `segment_stack` puts the labels."""
    return image.with_name("a.ome.tif")


class StopError(Exception):
    """Somebody pulled the plug."""


@contextmanager
def stopped_at(name: str) -> Iterator[None]:
    """Let a function of `outcome` raise `StopError` as soon as it is called."""
    with mock.patch(f"unetctl.runtime.outcome.{name}", side_effect=StopError):
        try:
            yield
        except StopError:
            return
    raise AssertionError(f"{name} was never reached")


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.runtime import continuing
from unetctl.runtime import labels, outcome, places, store

where, count = sys.argv[2], int(sys.argv[3])
seen = 0

def now(*_, **__):
    global seen
    seen += 1
    if seen == count:
        os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name, when=lambda *_: True):
    own = getattr(owner, name)
    def instead(*args, **kwargs):
        if when(*args):
            now()
        return own(*args, **kwargs)
    setattr(owner, name, instead)

if where == "tile":
    before(continuing.Minding, "result")
elif where == "record":  # its data is written, and it is not
    before(store, "pack_record")
elif where == "half a record":
    own = store._write_at
    def half(descriptor, offset, data):
        if len(data) == store.RECORD_BYTES:
            own(descriptor, offset, data[:20])
            now()
        own(descriptor, offset, data)
    store._write_at = half
elif where == "pyramid":
    before(store.ChunkStore, "put", lambda _, key, *__: key.level > 0)
elif where == "continuing":
    before(store, "atomic_path")
else:
    before(outcome, where)
continuing.segment_stack(Path(sys.argv[1]))
"""


def killed(image: Path, where: str, count: int = 1) -> None:
    """Segment in a process of its own that is killed the `count`th time that it comes by `where`."""
    child = [sys.executable, "-c", KILLED, str(image), where, str(count)]
    done = subprocess.run(child, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a run makes, without when it was."""

    file: bytes
    preview: bytes | None
    class_pixels: dict[str, int]
    blank: Any


def outcome(report: SegmentReport) -> Outcome:
    """Return what a run made, and make sure that it left nothing else."""
    assert not run_folder_of(report.output).exists()
    return Outcome(
        file=re.sub(WHEN, b"when", report.output.read_bytes()),
        preview=report.preview.read_bytes() if report.preview else None,
        class_pixels=dict(report.class_pixels),
        blank=report.blank,
    )


def folder_of(image: Path) -> Path:
    """Return the run folder of `segment_stack`."""
    return run_folder_of(output_of(image))


def clean(image: Path) -> None:
    """Remove all that runs made of the image."""
    shutil.rmtree(folder_of(image), ignore_errors=True)
    for path in image.parent.iterdir():
        if path.is_file() and path != image:
            path.unlink()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run folder but the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


posix = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: SIGKILL is POSIX")

TILES = 18
"""Of the stack, all planes."""


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
    with pytest.raises(StopError):
        segment_stack(image, engine=failing(StopError(), at=7), **options)
    return contents(folder_of(image))
