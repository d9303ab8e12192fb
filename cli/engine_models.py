"""Which engine, and an engine file as a model: a plan for TensorRT and its record, all that an edge box needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli.wording import path_text
from unetctl.runtime.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from unetctl.runtime.engine import Engine
    from unetctl.runtime.engine_file import EngineFile
    from unetctl.runtime.engines import EngineChoice, EngineFactory, EngineRequest, EngineStatus
    from unetctl.runtime.model import Model

EngineName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="auto, tensorrt, onnxruntime-cuda, openvino, onnxruntime, or torch for a checkpoint."
    ),
]
PrecisionName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto: the fastest that the export found to give the same labels but for ties; or fp32, bf16, fp16, int8.",
    ),
]
DeviceName = Annotated[
    str, typer.Option(metavar="NAME", help="What OpenVINO runs on: CPU, or GPU for one of Intel's; default: CPU.")
]
CompileCacheSwitch = Annotated[
    bool,
    typer.Option("--compile-cache/--no-compile-cache", help="Keep what the engine compiled for the next run."),
]
TrustEngine = Annotated[
    bool, typer.Option("--trust-engine", help="Load TensorRT engines built elsewhere, which are programs.")
]

Devices = Annotated[
    str, typer.Option("--devices", metavar="LIST", help="GPUs of one kind that share the tiles, as 0,1.")
]

TENSORRT_ENGINE = "tensorrt"
"""The engine that loads plans, of TensorRT for RTX too."""

ON_DEVICES = (TENSORRT_ENGINE, "onnxruntime-cuda")
"""The engines that `--devices` is for."""


def is_engine_file(path: Path) -> bool:
    """Tell whether a file is meant to be a plan: by its name, because plans have no mark that all versions share."""
    return path.suffix == ".engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOptions:
    """What was said of an engine on NVIDIA GPUs besides its name."""

    trust_engine: bool = False
    devices: tuple[int, ...] = ()
    """Indices of GPUs; empty for the first."""

    def applied(self, choice: EngineChoice) -> EngineChoice:
        """Return a choice that does as was said. Raises `UsageError` for an engine that these are not for."""
        if not (self.trust_engine or self.devices):
            return choice
        for said, able, option in (
            (self.trust_engine, (TENSORRT_ENGINE,), "--trust-engine"),
            (self.devices, ON_DEVICES, "--devices"),
        ):
            if said and choice.name not in able:
                raise UsageError(
                    f"{option} is for {' and '.join(able)}",
                    cause=f"{choice.name} was chosen",
                    hint=f"leave it out, or --engine {able[0]}",
                )
        from unetctl.runtime.engine_devices import open_on_devices
        from unetctl.runtime.engines import ENGINES

        entry = ENGINES[choice.name]
        module = import_module(entry.module)
        given: dict[str, Any] = {"trust_foreign": self.trust_engine} if choice.name == TENSORRT_ENGINE else {}
        devices = self.devices or (0,)
        return replace(
            choice,
            description=_on_devices(module.status(devices[0]), self.devices) if self.devices else choice.description,
            open=partial(
                open_on_devices,
                devices=devices,
                open_on=partial(_open_on, getattr(module, entry.engine), **given),
            ),
            bytes_needed=lambda request: choice.bytes_needed(replace(request, slots=request.slots * len(devices))),
            fixed_shapes=partial(module.fixed_shapes, index=devices[0], **given),
        )


NO_OPTIONS = GpuOptions()


def _open_on(engine: Callable[..., Engine], request: EngineRequest, index: int, **given: bool) -> Engine:
    return engine(request, device=index, **given)


def _on_devices(found: EngineStatus, devices: tuple[int, ...]) -> str:
    """Say which version works on which GPUs. Raises `UnavailableError` if it cannot on the first."""
    if not found.usable:
        raise UnavailableError(
            f"{found.name} cannot run on device {devices[0]}",
            cause=found.why_not,
            hint=f"{found.hint}; or other --devices",
        )
    listed = f"devices {', '.join(map(str, devices))}" if len(devices) > 1 else f"device {devices[0]}"
    return f"{found.name} {found.version} on {found.device}, {listed}"


def parse_devices(text: str) -> tuple[int, ...]:
    """Read `--devices`: indices from 0, each given once; none for an empty text. Raises `UsageError`."""
    if not text:
        return ()
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", text) or len(set(text.split(","))) != len(text.split(",")):
        raise UsageError(
            f"--devices {text!r} cannot be",
            cause="it is a list of GPUs, counted from 0, each named once",
            hint="--devices 0,1; nvidia-smi lists them",
        )
    return tuple(int(one) for one in text.split(","))


def open_engine_file(
    path: Path, engine_name: str, options: GpuOptions, *, precision: str = "auto"
) -> tuple[Model, EngineChoice]:
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
    return model, options.applied(choose_engine(TENSORRT_ENGINE, model, precision=precision))


def engine_file_here(path: Path, *, trust_engine: bool) -> tuple[Model, Mapping[str, EngineFactory], Mapping[str, str]]:
    """Return an engine file as a model, TensorRT if it may load this very plan here, and if not, why not."""
    from unetctl.runtime.engine_file import read_engine_file

    file = read_engine_file(path)
    if why_not := _why_not_here(file):
        return file.model, {}, {TENSORRT_ENGINE: why_not}
    return file.model, {TENSORRT_ENGINE: plan_loader(trust_engine=trust_engine)}, {}


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
