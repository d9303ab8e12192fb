"""Engines at export: `--trt` and `--trt-rtx`, from the ONNX model just made or from one that was there before.

    EngineWish -> TensorRT and a GPU, or what is missing -> an engine for each tile, tried and published

Nothing here needs torch: on a Jetson `unetctl export --model model.onnx --trt` does all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetctl.cli import output
from unetctl.cli.described import engine_rows
from unetctl.cli.engine_wish import EngineWish
from unetctl.cli.models import as_typed, is_checkpoint, model_path
from unetctl.cli.progress import progress
from unetctl.cli.wording import bytes_text, command_text, counted, path_text
from unetctl.runtime.builtin import builtin_name
from unetctl.runtime.errors import OutputError, UnavailableError
from unetctl.runtime.tensorrt_library import TENSORRT

if TYPE_CHECKING:
    from unetctl.runtime.engine_build import EngineTarget
    from unetctl.runtime.engine_file import EngineFile
    from unetctl.runtime.model import Model

RTX_LICENCE = (
    "TensorRT for RTX is under NVIDIA's licence, which forbids its use in critical applications, medical ones among "
    "them, unless NVIDIA agreed to it"
)
"""Section 2.1 (x) of the licence that comes with 1.7.1."""


def onnx_to_build_from(model: Path | None) -> Path | None:
    """Return the ONNX file that `--model` names, a built-in one by its name; None for a checkpoint, or none at all."""
    if model is None:
        return None
    path = model_path(str(model))
    return None if is_checkpoint(path) else path


def make_engines(
    path: Path, wish: EngineWish, *, facts: Mapping[str, Any], overwrite: bool, quiet: bool, as_json: bool
) -> None:
    """Build the engines of the ONNX model at `path` and show each when it is there.

    `facts` is what a script is told beside them. Raises `UnavailableError` where TensorRT or a GPU is missing, which
    leaves the model as it is, and `OutputError` for an engine that exists.
    """
    engines: list[EngineFile] = []
    try:
        for engine in _built(path, wish, overwrite=overwrite, silent=quiet or as_json):
            engines.append(engine)
            if quiet:
                output.result(str(engine.path))
            elif not as_json:
                _show(engine)
    except UnavailableError as error:
        raise UnavailableError(
            error.what,
            cause=error.cause,
            saved=f"the ONNX model {path_text(path)} is complete, and the other engines run it",
            hint=error.hint,
        ) from error
    finally:
        if as_json:
            output.result_json({**facts, "engines": [_facts(engine) for engine in engines]})
    if not (quiet or as_json):
        _say_next(path, engines)


def _built(path: Path, wish: EngineWish, *, overwrite: bool, silent: bool) -> Iterator[EngineFile]:
    """Build what is wished, one after another; what is missing or exists is said before the first."""
    from unetctl.runtime.engine_build import build_engine, planned_record
    from unetctl.runtime.engine_lock import only_build
    from unetctl.runtime.engine_match import mismatch, this_machine
    from unetctl.runtime.engine_trust import engine_cache
    from unetctl.runtime.model import read_model

    model = read_model(path)
    folder = engine_cache() if builtin_name(path) else path.parent
    targets = _targets(model, wish)
    if not overwrite:
        _refuse_existing(model, targets, folder)
    if not silent:
        first = targets[0].library
        long = "seconds" if first.is_rtx else "minutes: every layer is timed in many ways, so leave the GPU alone"
        output.notice(
            f"building {counted(len(targets), 'engine')} with {first.name} {first.version}, which takes {long}"
        )
        if first.is_rtx:
            output.notice(RTX_LICENCE)
    for target in targets:
        runs_here = not mismatch(planned_record(model, target), this_machine(target.library, target.device))
        accept = partial(_accept, target.device.index) if target.device and runs_here else None
        with only_build(), progress(f"tiles of {target.kept_yx[0]} px", quiet=silent) as update:
            built = build_engine(
                model, target, folder, accept=accept, on_progress=lambda share, phase: update(share, 1, phase)
            )
        yield built


def _targets(model: Model, wish: EngineWish) -> list[EngineTarget]:
    """Find the library and the GPU, and return one target a tile. Raises `UnavailableError` for what is missing."""
    from unetctl.runtime import cuda
    from unetctl.runtime.engine_build import EngineTarget
    from unetctl.runtime.engine_tiles import default_tiles
    from unetctl.runtime.tensorrt_library import load_tensorrt

    device = cuda.device() if cuda.device_count() else None
    typed = command_text("unetctl", "export", "--model", as_typed(model.path))
    if device is None and wish.library == TENSORRT:  # the GPU first: a library of gigabytes would not help without one
        raise UnavailableError(
            "TensorRT builds engines only where there is an NVIDIA GPU, and here is none",
            cause=cuda.why_no_device(),
            hint=f"copy the model to the machine with the GPU and type there: {typed} --trt; "
            f"or build here for RTX cards: {typed} --trt-rtx",
        )
    library = load_tensorrt(wish.library)
    tiles = wish.tiles or default_tiles(model, device.free_bytes if device else None)
    return [
        EngineTarget(
            library=library,
            device=device,
            kept_yx=(kept, kept),
            compute_capabilities=wish.compute_capabilities,
        )
        for kept in tiles
    ]


def _refuse_existing(model: Model, targets: list[EngineTarget], folder: Path) -> None:
    from unetctl.runtime.engine_build import planned_record
    from unetctl.runtime.engine_file import engine_name, record_path

    for target in targets:
        path = folder / engine_name(model.path.stem, planned_record(model, target))
        if path.exists() and record_path(path).exists():
            raise OutputError(
                f"{path_text(path)} exists",
                cause="it is of the same model, tile, library and GPU",
                hint="--overwrite builds it again, --tile names others",
            )


def _accept(index: int, engine: EngineFile) -> Mapping[str, Any]:
    """Try an engine on the GPU of this index."""
    from unetctl.runtime.engine_acceptance import accept_engine
    from unetctl.runtime.engine_tensorrt import TensorRtEngine

    return accept_engine(engine, partial(TensorRtEngine, device=index))


def _facts(engine: EngineFile) -> dict[str, Any]:
    """Return what a script is told of an engine: its record without what the model says already."""
    record = json.loads(engine.record.to_json(()))
    for name in ("spec", "export", "golden"):
        del record[name]
    return {"path": str(engine.path), **record}


def _show(engine: EngineFile) -> None:
    output.heading(path_text(engine.path))
    output.pairs([*engine_rows(engine.record), ("size", bytes_text(engine.record.plan_bytes))])


def _say_next(path: Path, engines: list[EngineFile]) -> None:
    untried = [engine.path for engine in engines if not engine.record.acceptance]
    if untried:  # there it is foreign, because another machine built it
        there = command_text("unetctl", "check", untried[0], "--trust-engine")
        output.notice(f"copy it with its .json to where it will run, and type there: {there}")
        return
    output.next_command("unetctl", "segment", "your_image.tif", "--model", as_typed(path), "--engine", "tensorrt")
