"""The arrows of the house: cli -> exporter -> trainer -> runtime, and what no module imports while it loads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("runtime", "trainer", "exporter", "cli")
"""From the ground up: a folder may import those before it."""

HEAVY = frozenset(
    (
        *("torch", "onnx", "onnxruntime", "onnxscript", "openvino", "tensorrt", "tensorrt_rtx", "cuda"),
        *("zarr", "scipy", "skimage", "matplotlib", "rich"),
    )
)
LIGHT = ("runtime/", "cli/", "trainer/__init__.py", "trainer/config.py", "exporter/__init__.py")
"""What `unetctl --help` may load, and what runs where torch is not installed: heavy libraries only inside functions."""

NEVER_IN_RUNTIME = frozenset(("torch", "onnx", "onnxscript", "matplotlib", "skimage", "typer", "rich"))
"""An edge box has the base and an engine, and nothing of these, not even inside a function."""


def faults(path: str, source: str) -> list[str]:
    """List the imports in `source` that the house forbids; `path` is relative to the root, as `runtime/plan.py`."""
    own = path.split("/")[0]
    tree = ast.parse(source)
    at_load = set(_loaded_at_once(tree))
    found: list[str] = []
    for node in ast.walk(tree):
        for name in _imported(node, path):
            first, *rest = name.split(".")
            where = f"{path}:{node.lineno}: {name}"
            if first in HOUSE:
                found.append(f"{where}: say unetctl.{name}; a bare name collides with other people's packages")
            if first == "unetctl" and rest and rest[0] in HOUSE and HOUSE.index(rest[0]) > HOUSE.index(own):
                found.append(f"{where}: an arrow that runs up from {own}")
            if own == "runtime" and first in NEVER_IN_RUNTIME:
                found.append(f"{where}: runtime works without it")
            elif first in HEAVY and path.startswith(LIGHT) and node in at_load:
                found.append(f"{where}: heavy, import it inside the function that needs it")
    return found


def _imported(node: ast.AST, path: str) -> Iterator[str]:
    """Yield the full names that a node imports, also by a string such as a table of engines holds."""
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            folders = ("unetctl", *Path(path).parent.parts)
            base = ".".join((*folders[: len(folders) - node.level + 1], *([base] if base else [])))
        yield from (f"{base}.{one.name}" for one in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.replace(":", ".")
        if name.startswith("unetctl.") and all(part.isidentifier() for part in name.split(".")):
            yield name


def _loaded_at_once(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported: not function bodies, not what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _loaded_at_once(child)


def test_no_import_of_the_house_is_forbidden() -> None:
    files = [path for folder in HOUSE for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > len(HOUSE), "the test looked at the wrong folder"
    found = [one for path in files for one in faults(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))]
    assert not found, "\n".join(found)


def test_tests_and_benchmarks_use_the_full_names() -> None:
    files = [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported(node, "")
        if name.split(".")[0] in HOUSE
    ]
    assert not wrong, "\n".join(wrong)


SEEDED = {
    "runs up": ("runtime/plan.py", "from unetctl.trainer.network import UNet"),
    "runs up inside a function": ("trainer/train.py", "def f():\n    import unetctl.cli.main"),
    "runs up from the package": ("runtime/plan.py", "from unetctl import exporter"),
    "runs up by a dotted name": ("exporter/export.py", "from ..cli import main"),
    "runs up by a string": ("runtime/engines.py", "TABLE = {'torch': 'unetctl.trainer.engine_torch:TorchEngine'}"),
    "bare name": ("cli/main.py", "import runtime"),
    "bare name, from": ("trainer/train.py", "from runtime.plan import plan_tiles"),
    "torch in runtime": ("runtime/segment.py", "def f():\n    import torch"),
    "onnx in runtime": ("runtime/model.py", "from onnx import load"),
    "heavy at load": ("runtime/engine_onnxruntime.py", "import onnxruntime as ort"),
    "heavy in a class body": ("cli/show.py", "class A:\n    from rich.table import Table"),
    "heavy under try": ("cli/train.py", "try:\n    import torch\nexcept ImportError:\n    torch = None"),
    "heavy in the config": ("trainer/config.py", "from scipy import ndimage"),
}


@pytest.mark.parametrize(("path", "source"), SEEDED.values(), ids=SEEDED.keys())
def test_a_seeded_fault_is_caught(path: str, source: str) -> None:
    assert len(faults(path, source)) == 1


ALLOWED = {
    "down": ("cli/main.py", "from unetctl.exporter.export import export_model\nfrom unetctl.runtime import plan"),
    "a neighbour": ("runtime/plan.py", "from .geometry import margin_px"),
    "heavy inside a function": ("runtime/engine_onnxruntime.py", "def f():\n    import onnxruntime"),
    "torch where it lives": ("trainer/network.py", "import torch"),
    "for type checkers": ("cli/show.py", "if TYPE_CHECKING:\n    from rich.table import Table"),
    "a metadata key": ("runtime/spec.py", "SPEC_KEY = 'unetctl.spec'"),
    "a docstring": ("runtime/errors.py", "'''`unetctl.cli` maps them.'''"),
}


@pytest.mark.parametrize(("path", "source"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_allowed_is_let_through(path: str, source: str) -> None:
    assert not faults(path, source)
