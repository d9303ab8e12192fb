"""A queue between two stages of the pipeline that can be closed, and that knows how long its takers waited."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ClosedError(Exception):
    """The channel was closed: there is nothing more to take or no one left to give to."""


class Channel(Generic[Item]):
    """A queue between two stages that can be closed, and that adds up how long its takers waited."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items = deque(items)
        self._changed = threading.Condition()
        self._closed = False
        self.waited_seconds = 0.0

    def put(self, item: Item) -> None:
        """Add an item; it is dropped when the channel is closed, because then nobody will take it."""
        with self._changed:
            if not self._closed:
                self._items.append(item)
                self._changed.notify()

    def take(self) -> Item:
        """Remove and return the oldest item; wait for one. Raises `ClosedError` when there will be none."""
        with self._changed:
            if not self._items and not self._closed:
                started = time.perf_counter()
                self._changed.wait_for(lambda: self._items or self._closed)
                self.waited_seconds += time.perf_counter() - started
            if not self._items:
                raise ClosedError
            return self._items.popleft()

    def take_now(self) -> Item | None:
        """Remove and return the oldest item, or return None when there is none at this moment."""
        with self._changed:
            return self._items.popleft() if self._items else None

    def close(self, *, discard: bool = False) -> None:
        """Let takers have what is left (or nothing, with `discard`) and then end."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()
