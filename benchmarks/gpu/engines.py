"""Which engines `benchmarks.gpu` can measure here, in what they compute, and how each is opened in exactly that."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.networks import NEEDS_TORCH, Network
from benchmarks.gpu.rows import in_one_line, lacking
from benchmarks.gpu.settings import Settings

if TYPE_CHECKING:
    from unetctl.runtime.engine import Engine
    from unetctl.runtime.engines import EngineChoice, EngineRequest, EngineStatus
    from unetctl.runtime.model import Model
    from unetctl.trainer.checkpoint import Checkpoint

TORCH = "torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An engine that can run here."""

    engine: str
    version: str
    device: str
    hints: tuple[str, ...]
    """What it computes an fp32 network in, besides fp32, where it is told to; the fastest first."""
    graphs: tuple[str, ...]
    """What its models are there in."""

    def precisions(self, network: Network) -> tuple[str, ...]:
        """List what it is measured in with a network, the most important first."""
        graphs = self.graphs if network.base_channels else ("fp32",)  # the built-in model is there in nothing else
        return tuple(dict.fromkeys((*self.hints, *graphs)))


def find_engines(settings: Settings) -> tuple[list[Found], dict[str, str]]:
    """Return the engines to measure, and of each other one why not."""
    from unetctl.runtime.engines import ENGINES

    found, left_out = [], {}
    for name in (TORCH, *ENGINES):
        if settings.engines and name not in settings.engines:
            left_out[name] = "not asked for"
            continue
        try:
            status = _status(name)
        except Exception as error:  # a library that is half installed may raise anything
            left_out[name] = in_one_line(error)
            continue
        if not status.usable:
            left_out[name] = status.why_not
        elif not settings.rehearse and _is_on_processor(status):
            left_out[name] = f"{name} {status.version} runs on the processor here"
        else:
            found.append(
                Found(
                    engine=name,
                    version=status.version,
                    device=status.device,
                    hints=tuple(str(one) for one in status.hints),
                    graphs=("fp32",) if name == TORCH else settings.graphs,
                )
            )
    return found, left_out


def _status(name: str) -> EngineStatus:
    from importlib import import_module

    from unetctl.runtime.engines import ENGINES
    from unetctl.runtime.errors import UnavailableError

    if name != TORCH:
        status: EngineStatus = import_module(ENGINES[name].module).status()
        return status
    if missing := lacking(NEEDS_TORCH):
        raise UnavailableError(f"not installed: {', '.join(missing)}")
    from unetctl.trainer.engine_torch import status as torch_status

    return torch_status()


def _is_on_processor(status: EngineStatus) -> bool:
    return status.name == "openvino" or not status.device or status.device.upper().startswith("CPU")


def open_choice(found: Found, precision: str, network: Network) -> tuple[EngineChoice, Model]:
    """Return an engine for a network that computes in `precision` and nothing else, and the model that it takes.

    Raises `UnavailableError` if it would compute in something else, and whatever making the model raises.
    """
    from unetctl.runtime.engines import choose_engine
    from unetctl.runtime.errors import UnavailableError
    from unetctl.runtime.model import read_model

    if found.engine == TORCH:
        from unetctl.trainer.checkpoint import load_checkpoint
        from unetctl.trainer.engine_torch import checkpoint_model

        checkpoint = load_checkpoint(network.checkpoint())
        model = checkpoint_model(checkpoint)
        choice = torch_in(checkpoint, precision, rehearse=network.settings.rehearse)
    else:
        model = read_model(network.onnx("fp32" if precision in found.hints else precision))
        choice = choose_engine(found.engine, model, precision=precision)
    if choice.precision(model) != precision:
        raise UnavailableError(f"{choice.description} computes in {choice.precision(model)} and not in {precision}")
    return choice, model


def torch_in(checkpoint: Checkpoint, precision: str, *, rehearse: bool) -> EngineChoice:
    """Return the torch engine for a checkpoint, told what to compute in."""
    from unetctl.runtime.precision import Precision
    from unetctl.trainer.engine_torch import torch_choice

    options: dict[str, Any] = {"device": "cpu" if rehearse else "cuda"}
    if "precision" in inspect.signature(torch_choice).parameters:
        return torch_choice(checkpoint, **options, precision=precision)
    hint = None if precision == Precision.FP32 else Precision(precision)
    choice = torch_choice(checkpoint, **options)

    def open_engine(request: EngineRequest) -> Engine:
        return choice.open(replace(request, hint=hint))

    return replace(choice, hint=hint, open=open_engine)
