"""The names of TensorRT's Python bindings, as they were read from real ones: which of them our code may use.

`tensorrt_names.json` holds those that 10.3.0, 10.13.3.9, 10.16.1.11 and 11.4.0.106 have in common, by class; the names
of the module itself stand under `module`. A name that is not in it is missing in at least one of them. The recordings
are in `reference/tensorrt-names` beside the shared data.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.data import shared_data

Names = Mapping[str, frozenset[str]]

INSTANCES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "failure": "ParserError",
    "image": "ITensor",
    "labels": "ITensor",
    "tensor": "ITensor",
}
"""What the local variables of `tensorrt_build` are."""


@cache
def common_names() -> Names:
    """Return the names that every version has, by class."""
    found = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return {key: frozenset(names) for key, names in found.items()}


@cache
def recorded_names() -> dict[str, Names]:
    """Return the whole recordings by version; none where the shared folder is missing."""
    data = shared_data()
    files = sorted((data.parent / "reference" / "tensorrt-names").glob("*.json")) if data else []
    found = {}
    for file in files:
        lists = json.loads(file.read_text("utf-8"))
        by_class = {key.split(" ")[1]: frozenset(names) for key, names in lists.items() if " " in key}
        found[file.stem] = {"module": frozenset(lists["top"]), **by_class}
    return found


def used_names(source: str, instances: Mapping[str, str]) -> set[tuple[str, ...]]:
    """List what `source` uses: `trt.X.Y` as `("module", "X", "Y")`, and `config.z` as `("IBuilderConfig", "z")`.

    `trt` is the module by the convention of `unetctl.runtime.tensorrt_library`, also as an attribute (`self._trt`).
    """
    return {
        chain
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and (chain := _chain(node, instances))
    }


def _chain(node: ast.Attribute, instances: Mapping[str, str]) -> tuple[str, ...]:
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        if inner.attr in ("trt", "_trt"):
            return ("module", *reversed(names))
        names.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name) and inner.id == "trt":
        return ("module", *reversed(names))
    if isinstance(inner, ast.Name) and inner.id in instances:
        return (instances[inner.id], names[-1])
    return ()


def missing(used: set[tuple[str, ...]], names: Names) -> Iterator[str]:
    """Yield the names of `used` that are not among `names`."""
    for first, *rest in sorted(used):
        owner = first
        for name in rest:
            if name not in names.get(owner, frozenset()) and not name.startswith("__"):  # those are Python's own
                yield f"{owner}.{name}"
                break
            owner = name if name in names else owner  # a class within a class was recorded with its outer one
