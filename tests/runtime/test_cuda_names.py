"""Every name of cuda-bindings that our code uses exists in 12.9 and in 13.5, takes what it is given, and is faked."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cuda_names import CODES, CONSTANTS, FUNCTIONS
from tests.fake_cuda import FakeCuda
from unetctl.runtime.cuda_words import LOST

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "runtime").glob("*.py"))
KNOWN = {*FUNCTIONS, *CONSTANTS, *(name.split(".")[0] for name in CONSTANTS), "cudaError_t"}
MEMBERS = {*CODES, *(name.split(".")[1] for name in CONSTANTS if "." in name)}


def used_names(source: str) -> Iterator[tuple[str, int | None]]:
    """Yield what `source` uses of CUDA, and of functions the number of arguments: `call("f", x)`, `cudart.f(x)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            starred = any(isinstance(one, ast.Starred) for one in node.args)
            if name in ("call", "release") and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), None if starred else len(node.args) - 1
            elif name.startswith("cuda") and isinstance(node.func, ast.Attribute):
                yield name, None if starred else len(node.args)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("cuda") and node.attr[4:5].isupper():
            yield node.attr, None


def faults(source: str) -> list[str]:
    """List the names in `source` that some version lacks, and calls with another number of arguments."""
    found = set()
    for name, arguments in used_names(source):
        if name not in KNOWN | MEMBERS:
            found.add(f"{name} is not in every version")
        elif arguments is not None and FUNCTIONS.get(name, arguments) != arguments:
            found.add(f"{name} takes {FUNCTIONS[name]} arguments, not {arguments}")
    return sorted(found)


def test_every_name_that_is_used_exists_in_both_versions() -> None:
    found = [f"{path.name}: {one}" for path in MODULES for one in faults(path.read_text("utf-8"))]
    assert not found, "\n".join(found)
    seen = {name for path in MODULES for name, _ in used_names(path.read_text("utf-8"))}
    assert seen >= set(FUNCTIONS), f"recorded and not used: {sorted(set(FUNCTIONS) - seen)}"
    assert {name: CODES[name][1] for name in LOST} == LOST


@pytest.mark.parametrize(
    "source",
    [
        'call("cudaMallocFancy", 1)',
        'release("cudaFreee", 1)',
        'call("cudaMalloc", 1, 2)',
        "cudart.cudaGraphInstantiate(graph)",
        "cudart.cudaMemcpyKind.cudaMemcpyHostToHostest",
        "cudart.cudaStreamGetCaptureInfo_v3(stream)",
    ],
)
def test_a_seeded_name_is_caught(source: str) -> None:
    assert len(faults(source)) == 1


def test_the_fake_has_these_names_and_takes_as_many_arguments() -> None:
    fake = FakeCuda()
    for name in FUNCTIONS:
        parameters = inspect.signature(getattr(fake, name)).parameters.values()
        if not any(one.kind is one.VAR_POSITIONAL for one in parameters):
            assert len(parameters) == FUNCTIONS[name], name
    assert {one for one in dir(fake) if one.startswith("cuda")} >= {name.split(".")[0] for name in CONSTANTS}


def test_the_names_are_those_of_the_bindings_that_are_installed() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="NOT RUN: cuda-bindings is not installed")
    for name, count in FUNCTIONS.items():
        inside = getattr(runtime, name).__doc__.splitlines()[0].partition("(")[2].rpartition(")")[0]
        assert len([one for one in inside.split(",") if one.strip()]) == count, name
    for name, value in CONSTANTS.items():
        owner, _, member = name.rpartition(".")
        assert int(getattr(getattr(runtime, owner) if owner else runtime, member)) == value
    for name, (number, sentence) in CODES.items():
        code = getattr(runtime.cudaError_t, name)
        assert (int(code), runtime.cudaGetErrorString(code)[1].decode()) == (number, sentence)
