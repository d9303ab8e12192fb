"""One setting in a process of its own: its engine, opened as a run opens it, and rounds of ready tiles when asked.

In a process of its own, because the memory of one setting must not be that of another, because the peak of a process
cannot be taken back, and because an engine that is killed for its memory must not take the search with it.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import numpy as np

from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import EngineChoice, EngineRequest
from unetctl.runtime.errors import UnavailableError, UnetctlError
from unetctl.runtime.model import Model
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.system import peak_memory_bytes
from unetctl.runtime.tuning import Setting
from unetctl.runtime.tuning_work import ShapeWork

ROUND_S = 0.3
"""Of each shape, at least: a hundred times what a clock or a scheduler is off."""

SURELY_LONG = 5
"""If even the first call, which sets things up, takes so many times as long, the next is long enough for a round."""

MOST_CALLS = 1000
"""For engines that take no time at all."""

Opener = Callable[[], tuple[Model, EngineChoice]]
"""Reads the model and chooses the engine; a process is given it pickled."""


def serve_rounds(connection: Connection, opener: Opener, setting: Setting, works: Sequence[ShapeWork]) -> None:
    """Open the engine, send None, and for each True that comes run a round; send its seconds and the peak of memory.

    What goes wrong is sent as an error. Ends when False comes or the other side is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the parent ends us
    try:
        model, choice = opener()
        with choice.open(request_of(model, setting, works)) as engine:
            rounds = Rounds(engine, model.spec, setting, works)
            connection.send(None)
            while connection.recv():
                connection.send((rounds.seconds(), peak_memory_bytes()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except UnetctlError as error:
        connection.send(error)
    except Exception as error:  # whatever a library raises: the setting does not run here
        connection.send(UnavailableError(f"{setting.engine} failed", cause=f"{type(error).__name__}: {error}"))


def request_of(model: Model, setting: Setting, works: Sequence[ShapeWork]) -> EngineRequest:
    """Return what a run with this setting asks of its engine."""
    shapes = sorted((one.shape for one in works), key=lambda shape: (-shape[0] * shape[1], shape))
    return EngineRequest(
        model=model,
        shapes=tuple(shapes),
        batch=setting.tiles.batch,
        slots=setting.tiles.slots,
        streams=setting.tiles.streams,
        threads=setting.threads,
    )


class Rounds:
    """Runs ready tiles of all shapes through an engine that was entered, all its slots in flight."""

    def __init__(self, engine: Engine, spec: ModelSpec, setting: Setting, works: Sequence[ShapeWork]) -> None:
        self._engine = engine
        self._works = works
        self._statistics = _statistics(spec)
        largest = max((one.shape for one in works), key=lambda shape: shape[0] * shape[1])
        draw = np.random.default_rng(0)
        for slot in range(engine.slots):  # what a smaller shape sees later is a part of it
            tiles_nchw = engine.buffer(slot, largest)
            tiles_nchw[...] = draw.integers(0, np.iinfo(tiles_nchw.dtype).max, tiles_nchw.shape, tiles_nchw.dtype)
        self._calls: list[int] = []
        for one in works:
            seconds = self._run(one.shape, setting.tiles.streams)  # the first call of a shape sets things up
            if seconds < SURELY_LONG * ROUND_S:
                seconds = self._run(one.shape, setting.tiles.streams)
            rounds = int(np.clip(np.ceil(ROUND_S / max(seconds, 1e-9)), 1, MOST_CALLS))
            self._calls.append(setting.tiles.streams * rounds)

    def seconds(self) -> float:
        """Return what the whole image would take, from a round of each shape."""
        return sum(
            one.batches * self._run(one.shape, calls) / calls
            for one, calls in zip(self._works, self._calls, strict=True)
        )

    def _run(self, shape: tuple[int, int], calls: int) -> float:
        engine = self._engine
        flying: deque[int] = deque()
        begun = time.perf_counter()
        for call in range(calls):
            if len(flying) == engine.slots:
                engine.result(flying.popleft())
            slot = call % engine.slots
            engine.buffer(slot, shape)
            engine.submit(slot, self._statistics)
            flying.append(slot)
        while flying:
            engine.result(flying.popleft())
        return time.perf_counter() - begun


def _statistics(spec: ModelSpec) -> Statistics | None:
    """Return those of the random pixels, for a model that normalises by the whole image."""
    if spec.normalisation.scope is not Scope.IMAGE:
        return None
    largest, channels = float(np.iinfo(spec.pixel_type.value).max), len(spec.channels)
    return Statistics(shift=(largest / 2,) * channels, scale=(12**0.5 / largest,) * channels)
