"""How the fake CUDA answers and fails: a code and values from every function, and faults that tests seed."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.cuda_names import CODES, CONSTANTS
from tests.fake_streams import FakeStreams

Code = IntEnum("Code", {name: number for name, (number, _) in CODES.items()})
Api = Callable[..., tuple[Any, ...]]


class LostDeviceError(Exception):
    """The device is lost in the middle of some work."""


def api(values: int) -> Callable[[Callable[..., Any]], Api]:
    """Make of a method what the bindings have: a function that gives a code and `values` values, None if it failed."""

    def decorate(method: Callable[..., Any]) -> Api:
        @wraps(method)
        def call(self: FakeApi, *arguments: Any) -> tuple[Any, ...]:
            with self.lock:  # of two threads one goes after the other, or a fault would not be the same each time
                return called(self, *arguments)

        def called(self: FakeApi, *arguments: Any) -> tuple[Any, ...]:
            name, found = method.__name__, None
            self.calls[name] += 1
            code = self.lost or self.faults.pop((name, self.calls[name]), None)
            try:
                found = None if code else method(self, *arguments)
            except LostDeviceError:
                self.streams.drop()
                code = self.lost
            self.last = code or (found if isinstance(found, Code) else self.last)
            if code or isinstance(found, Code):
                return (code or found, *[None] * values)
            return (Code.cudaSuccess, *([found] if values == 1 else found or ()))

        return call

    return decorate


class FakeApi:
    """What the functions share: `streams`, and the faults that `fail` and `lose` seed."""

    cudaError_t = Code  # noqa: N815 - the name is CUDA's

    def __init__(self, *, devices: int = 1, total_bytes: int = 1 << 30) -> None:
        self.devices, self.total_bytes = devices, total_bytes
        self.streams = FakeStreams()
        self.lock = threading.RLock()
        self.calls: Counter[str] = Counter()
        self.faults: dict[tuple[str, int], Code] = {}
        self.lost: Code | None = None
        self.last = Code.cudaSuccess
        self._lose_after: tuple[int, Code] | None = None
        for name, value in CONSTANTS.items():
            owner, _, member = name.rpartition(".")
            target = self.__dict__.setdefault(owner, SimpleNamespace()).__dict__ if owner else self.__dict__
            target[member] = value

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be what `from cuda.bindings import runtime` gives."""
        modules: dict[str, Any] = {name: ModuleType(name) for name in ("cuda", "cuda.bindings")}
        modules["cuda"].bindings, modules["cuda.bindings"].runtime = modules["cuda.bindings"], self
        for name, module in modules.items():
            module.__spec__ = ModuleSpec(name, None)
        for name, module in (modules | {"cuda.bindings.runtime": self}).items():
            monkeypatch.setitem(sys.modules, name, module)

    def fail(self, name: str, code: str, *, call: int = 1) -> None:
        """Let the `call`-th call of a function from now on fail."""
        self.faults[name, self.calls[name] + call] = Code[code]

    def lose(self, code: str, *, after: int) -> None:
        """Lose the device in the network after `after` more: from then on every call fails with `code`."""
        self._lose_after = self.streams.ran.count("network") + after, Code[code]

    def network_ran(self) -> None:
        """Lose the device, if it is time, in the middle of a network's work."""
        if self._lose_after and self.streams.ran.count("network") >= self._lose_after[0]:
            self.lost = self._lose_after[1]
            raise LostDeviceError
