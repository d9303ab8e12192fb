"""The course of a run for TensorBoard, while it goes: `tensorboard --logdir runs` shows all runs side by side.

tensorboardX gives the format: its events and its writer of records. Its `SummaryWriter` is not used, because it hands
events to a thread through a queue of ten: on a full disk that thread dies and the next call waits for ever (tried with
2.6.5). Here a full disk raises `OSError`.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

WRITE_EVERY_S = 10.0
"""Seconds after which what was collected goes to the disk, so that a run can be watched."""


class Events:
    """Writes one file into `folder`, for the steps from `first_step` on.

    A continued run writes a new file, numbered after those that are there: readers take files by name, and forget the
    steps that the stopped run took after its last validation. Raises `OSError` where the disk takes no more.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(exist_ok=True)
        number = 1 + len(list(folder.glob("events.out.tfevents.*")))
        self._file = RecordWriter(str(folder / f"events.out.tfevents.{number:06d}"))
        self._written = time.monotonic()
        self._add(Event(file_version="brain.Event:2"))
        self._add(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(OSError):  # what stopped the run is what must be told
                self.close()

    def step(self, step: int, loss: float, rate: float) -> None:
        """Take in a step: kept in memory, and written every few seconds."""
        self._add(_numbers(step, {"training/loss": loss, "training/learning_rate": rate}))
        if time.monotonic() - self._written > WRITE_EVERY_S:
            self._write()

    def validation(self, step: int, scores: Mapping[str, float], picture: Path | None = None) -> None:
        """Take in the scores by name and the picture of a validation, and write all; NaN scores are left out."""
        self._add(_numbers(step, {f"validation/{name}": one for name, one in scores.items() if math.isfinite(one)}))
        if picture is not None:
            self._add(_picture(step, "prediction", picture.read_bytes()))
        self._write()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())

    def _write(self) -> None:
        self._file.flush()
        self._written = time.monotonic()


def _numbers(step: int, numbers: Mapping[str, float]) -> Event:
    values = [Summary.Value(tag=tag, simple_value=one) for tag, one in numbers.items()]
    return Event(step=step, summary=Summary(value=values))


def _picture(step: int, tag: str, png: bytes) -> Event:
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace={2: 3, 6: 4}[png[25]], encoded_image_string=png)
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, image=image)]))
