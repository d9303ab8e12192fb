"""A TensorRT without TensorRT: it has the recorded names and no others, builds nothing, and notes what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

Call = tuple[str, tuple[Any, ...]]


class FakePart:
    """An object of one class of TensorRT: `values` are its properties, and functions for methods with a result."""

    def __init__(self, kind: str, names: Mapping[str, frozenset[str]], calls: list[Call], **values: Any) -> None:
        self.__dict__.update(_kind=kind, _names=names[kind], _calls=calls, _values=values)

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(f"{self._kind} has no {name}")
        value = self._values.get(name)
        if name in self._values and not callable(value):
            return value

        def method(*arguments: Any) -> Any:
            self._calls.append((f"{self._kind}.{name}", arguments))
            return value(*arguments) if value else None

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names:
            raise AttributeError(f"{self._kind} has no {name}")
        self._calls.append((f"{self._kind}.{name} =", (value,)))
        self._values[name] = value


def fake_module(
    names: Mapping[str, frozenset[str]], calls: list[Call], builder: Callable[[Any], Any], parser: Any
) -> Any:
    """Return what `import tensorrt` would give, with these functions in place of two of its classes."""
    enums = {one: IntEnum(one, sorted(names[one])) for one in ("BuilderFlag", "MemoryPoolType")}
    enums["NetworkDefinitionCreationFlag"] = IntEnum("NetworkDefinitionCreationFlag", [("STRONGLY_TYPED", 1)])
    severity = IntEnum("Severity", [("INTERNAL_ERROR", 0), ("ERROR", 1), ("WARNING", 2)])
    given = {
        "ILogger": type("ILogger", (), {"Severity": severity}),
        "IProgressMonitor": type("IProgressMonitor", (), {}),
    }
    module = SimpleNamespace(__version__="10.3.0", Builder=builder, OnnxParser=parser, **enums, **given)
    assert not [one for one in vars(module) if one[0] != "_" and one not in names["module"]]
    return module
