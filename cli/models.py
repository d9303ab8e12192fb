"""A model file, whatever it is, and the engines of this machine that can run it.

An ONNX model runs on the runtime's engines; a checkpoint runs on torch, which needs no export and is the reference; an
engine file is a plan for TensorRT, and is all that an edge box needs beside the record that goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.cli.engine_models import (
    NO_OPTIONS,
    TENSORRT_ENGINE,
    GpuOptions,
    engine_file_here,
    is_engine_file,
    open_engine_file,
    plan_loader,
)
from unetctl.cli.extras import needs_extra
from unetctl.cli.wording import command_text, path_text, safe_text
from unetctl.runtime.builtin import BUILTIN_MODELS, builtin_model, builtin_name
from unetctl.runtime.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    from unetctl.runtime.engines import EngineChoice, EngineFactory
    from unetctl.runtime.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options of a command ask of the engine."""

    engine: str = "auto"
    precision: str = "auto"
    device: str = ""
    """As `GPU`; empty for what the engine takes itself."""
    caches: bool = False
    """What an engine compiles may be kept for the next run."""
    gpu: GpuOptions = NO_OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableModel:
    """A model, and the engine that was chosen for it."""

    model: Model
    choice: EngineChoice


def model_path(text: str, folder: Path | None = None) -> Path:
    """Return the file that `--model` means: that of a built-in model by its name, else a path, seen from `folder`.

    A name that is a file too is refused, because a command should mean the same in every folder; `./name` is the file.
    Raises `UsageError` for that, and `MissingInputError` for a bare word that is neither.
    """
    path = Path(text) if folder is None else folder / Path(text).expanduser()
    word = safe_text(text)
    if text in BUILTIN_MODELS:
        if path.is_file():
            raise UsageError(
                f"{word} is a built-in model, and a file {'here' if folder is None else 'of this project'} too",
                hint=f"write ./{word} for the file, or rename it to use the built-in model",
            )
        return builtin_model(text)
    if Path(text).name == text and not path.suffix and not path.exists():
        raise MissingInputError(
            f"there is no file {word}, and no built-in model of this name",
            hint=f"built in: {', '.join(BUILTIN_MODELS)}",
        )
    return path


def as_typed(path: Path) -> str | Path:
    """Return what a person would type for the model at `path`: the name of a built-in one, else its path."""
    return builtin_name(path) or path


def is_checkpoint(path: Path) -> bool:
    """Tell whether a file is a checkpoint (safetensors), by its first bytes. Raises `MissingInputError`."""
    if path.exists() and not path.is_file():  # reading a pipe or a device might never end
        kind = "a folder" if path.is_dir() else "no regular file"
        raise MissingInputError(f"{path_text(path)} is {kind}", hint="name a file")
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except FileNotFoundError as error:
        raise MissingInputError(f"there is no file {path_text(path)}") from error
    except OSError as error:
        raise MissingInputError(f"{path_text(path)} cannot be read", cause=error.strerror or str(error)) from error


def open_model(path: Path, wish: Wish) -> RunnableModel:
    """Read a model, a checkpoint or an engine, and choose what runs it.

    Raises `UsageError` where the engine cannot run this kind of file or has no such options, what `choose_engine`
    raises, and what reading raises. A GPU, and a device that was named, is tried on the model's golden tiles first: no
    export compared it.
    """
    if is_engine_file(path):
        model, choice = open_engine_file(path, wish.engine, wish.gpu, precision=wish.precision)
        return RunnableModel(model=model, choice=choice)
    if is_checkpoint(path):
        runnable = _open_checkpoint(path, wish)
        wish.gpu.applied(runnable.choice)  # torch has none of them
        return _tried(runnable)
    if wish.engine == "torch":
        raise UsageError(
            f"torch cannot run {path_text(path)}",
            cause="the torch engine runs checkpoints",
            hint="--model runs/<name>/model.safetensors, or --engine auto",
        )
    from unetctl.runtime.engines import choose_engine, load_libraries
    from unetctl.runtime.model import read_model

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(load_libraries, wish.engine, wish.device)  # what fails there, choose_engine meets again
        model = read_model(path)
    choice = choose_engine(wish.engine, model, precision=wish.precision, device=wish.device, caches=wish.caches)
    return _tried(RunnableModel(model=model, choice=wish.gpu.applied(choice)))


def _tried(runnable: RunnableModel) -> RunnableModel:
    """Return what was chosen, after the golden tiles where no export compared it. Raises `CheckFailedError`."""
    from unetctl.runtime.check import refuse_other_labels

    if runnable.choice.is_tried_first:
        refuse_other_labels(runnable.model, runnable.choice)
    return runnable


def runnable_everywhere(
    path: Path, *, trust_engine: bool = False
) -> tuple[Model, Mapping[str, EngineFactory], Mapping[str, str]]:
    """Read a model; return it, the engines of this machine that can run it, and why the others cannot."""
    if is_engine_file(path):
        return engine_file_here(path, trust_engine=trust_engine)
    if is_checkpoint(path):
        runnable = _open_checkpoint(path, Wish())
        return runnable.model, {"torch": runnable.choice.open}, {}
    from unetctl.runtime.engines import engine_status, open_engine
    from unetctl.runtime.model import read_model

    model = read_model(path)
    statuses = engine_status()
    engines: dict[str, EngineFactory] = {one.name: partial(open_engine, one.name) for one in statuses if one.usable}
    if trust_engine and TENSORRT_ENGINE in engines:
        engines[TENSORRT_ENGINE] = plan_loader(trust_engine=True)
    return model, engines, {one.name: f"{one.why_not}; {one.hint}" for one in statuses if not one.usable}


def _open_checkpoint(path: Path, wish: Wish) -> RunnableModel:
    """Open a checkpoint on torch, the reference, which computes in fp32 or as `--precision` says."""
    export = command_text("unetctl", "export", "--model", path)
    if wish.engine not in ("auto", "torch"):
        raise UsageError(
            f"{wish.engine} cannot run the checkpoint {path_text(path)}",
            cause="it runs ONNX models; only torch runs a checkpoint",
            hint=export,
        )
    if wish.device:
        raise UsageError(
            f"--device {wish.device} is for exported models",
            cause=f"{path_text(path)} is a checkpoint, which torch runs on its own device",
            hint=export,
        )
    with needs_extra("train", "a checkpoint"):
        from unetctl.trainer.checkpoint import load_checkpoint
        from unetctl.trainer.engine_torch import checkpoint_model, torch_choice

        checkpoint = load_checkpoint(path)
        return RunnableModel(
            model=checkpoint_model(checkpoint), choice=torch_choice(checkpoint, precision=wish.precision)
        )
