"""Streams, events and graphs: work that the GPU does by itself, in order, beside the work of other streams.

    stream of slot 0   | copy in | network      | copy out |
    stream of slot 1             | copy in |    | network      | copy out |

A graph is that work recorded once and started with one call, at the same addresses each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from unetctl.runtime.cuda import call, import_cudart, release
from unetctl.runtime.errors import UnetctlError


@contextmanager
def open_stream() -> Iterator[Any]:
    """Yield a stream that does not wait for the default one; what is on it is done when the block ends."""
    stream = call("cudaStreamCreateWithFlags", import_cudart().cudaStreamNonBlocking)
    try:
        yield stream
    finally:
        release("cudaStreamSynchronize", stream)
        release("cudaStreamDestroy", stream)


@contextmanager
def open_event() -> Iterator[Any]:
    """Yield an event whose waiters sleep: spinning would take a processor from readers and writers."""
    cudart = import_cudart()
    event = call("cudaEventCreateWithFlags", cudart.cudaEventDisableTiming | cudart.cudaEventBlockingSync)
    try:
        yield event
    finally:
        release("cudaEventDestroy", event)


def synchronize(stream: Any) -> None:
    """Wait for all that is on `stream`. Raises what went wrong in it."""
    call("cudaStreamSynchronize", stream)


def record(event: Any, stream: Any) -> None:
    """Let `event` stand for all that is on `stream` now."""
    call("cudaEventRecord", event, stream)


def wait_for(event: Any) -> None:
    """Wait for what `event` was recorded after. Raises what went wrong in it."""
    call("cudaEventSynchronize", event)


def capture(stream: Any, enqueue: Callable[[], None]) -> tuple[Any, str]:
    """Record what `enqueue` puts on `stream`, without running it: a graph and "", or None and why it cannot be.

    `enqueue` must have run before, because what a library sets up in its first call cannot be recorded. What goes
    wrong is returned and not raised: if it was more than the recording, `enqueue` alone will raise it.
    """
    cudart = import_cudart()
    graph = None
    try:
        call("cudaStreamBeginCapture", stream, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            enqueue()
        finally:
            _, graph = cudart.cudaStreamEndCapture(stream)  # also after a failure, or the stream stays in this mode
        if graph is None:
            return None, "the recording was invalid"
        return call("cudaGraphInstantiate", graph, 0), ""
    except UnetctlError as error:
        cudart.cudaGetLastError()  # forget it, or whoever shares this runtime finds it after a call of their own
        return None, error.cause or error.what
    finally:
        if graph is not None:
            release("cudaGraphDestroy", graph)


def replay(graph: Any, stream: Any) -> None:
    """Start what `capture` recorded."""
    call("cudaGraphLaunch", graph, stream)


def close_graph(graph: Any) -> None:
    """Give a graph back; it must not be running."""
    release("cudaGraphExecDestroy", graph)
