"""Which engine, and an engine file as a model: a plan for TensorRT and its record, all that an edge box needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unetctl.cli.wording import path_text
from unetctl.runtime.errors import UsageError

if TYPE_CHECKING:
    from unetctl.runtime.engine_file import EngineFile
    from unetctl.runtime.engines import EngineChoice, EngineFactory
    from unetctl.runtime.model import Model

EngineName = Annotated[
    str, typer.Option(metavar="NAME", help="auto, tensorrt, openvino, onnxruntime, or torch for a checkpoint.")
]
TrustEngine = Annotated[
    bool, typer.Option("--trust-engine", help="Load TensorRT engines built elsewhere, which are programs.")
]

TENSORRT_ENGINE = "tensorrt"
"""The engine that loads plans, of TensorRT for RTX too."""


def is_engine_file(path: Path) -> bool:
    """Tell whether a file is meant to be a plan: by its name, because plans have no mark that all versions share."""
    return path.suffix == ".engine"


def open_engine_file(path: Path, engine_name: str, *, trust_engine: bool) -> tuple[Model, EngineChoice]:
    """Read an engine file and choose TensorRT for it. Raises `UsageError` where another engine was asked for."""
    from unetctl.runtime.engine_file import read_engine_file
    from unetctl.runtime.engines import choose_engine

    if engine_name not in ("auto", TENSORRT_ENGINE):
        raise UsageError(
            f"{engine_name} cannot run {path_text(path)}",
            cause="it is a plan, which only TensorRT loads",
            hint="leave out --engine, or name the .onnx file",
        )
    model = read_engine_file(path).model
    choice = choose_engine(TENSORRT_ENGINE)
    return model, trusting(choice) if trust_engine else choice


def engine_file_here(path: Path, *, trust_engine: bool) -> tuple[Model, Mapping[str, EngineFactory], Mapping[str, str]]:
    """Return an engine file as a model, TensorRT if it may load this very plan here, and if not, why not."""
    from unetctl.runtime.engine_file import read_engine_file

    file = read_engine_file(path)
    if why_not := _why_not_here(file):
        return file.model, {}, {TENSORRT_ENGINE: why_not}
    return file.model, {TENSORRT_ENGINE: plan_loader(trust_engine=trust_engine)}, {}


def trusting(choice: EngineChoice) -> EngineChoice:
    """Return a choice of TensorRT that also loads plans of others. Raises `UsageError` for another engine."""
    if choice.name != TENSORRT_ENGINE:
        raise UsageError(
            "--trust-engine is for TensorRT",
            cause=f"{choice.name} was chosen",
            hint="leave it out, or --engine tensorrt",
        )
    from unetctl.runtime.engine_tensorrt import fixed_shapes

    return replace(choice, open=plan_loader(trust_engine=True), fixed_shapes=partial(fixed_shapes, trust_foreign=True))


def plan_loader(*, trust_engine: bool) -> EngineFactory:
    """Return what opens TensorRT, for plans of this user or also for those of others."""
    from unetctl.runtime.engine_tensorrt import TensorRtEngine

    return partial(TensorRtEngine, trust_foreign=trust_engine)


def _why_not_here(file: EngineFile) -> str:
    """Say why this plan cannot be loaded here; empty if it can."""
    from unetctl.runtime import cuda
    from unetctl.runtime.engine_match import mismatch, this_machine
    from unetctl.runtime.engine_tensorrt import status
    from unetctl.runtime.tensorrt_library import load_tensorrt

    found = status()
    if not found.usable:
        return f"{found.why_not}; {found.hint}"
    return mismatch(file.record, this_machine(load_tensorrt(file.record.kind), cuda.device()))
