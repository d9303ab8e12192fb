"""The engines of this package, which of them can run here, and what each needs.

A closed table: name, module, and the class in it. The torch engine is not here, because it needs the network and lives
with the trainer; `unetctl.cli` passes it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetctl.runtime.engine import Engine
from unetctl.runtime.errors import RefusedError, UnavailableError, UsageError
from unetctl.runtime.model import Model
from unetctl.runtime.precision import Precision
from unetctl.runtime.precision_choice import AUTO, PrecisionChoice, choose_precision
from unetctl.runtime.system import processors


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """All that an engine must know before its first batch."""

    model: Model
    shapes: tuple[tuple[int, int], ...]
    """The input shapes `(H, W)` that will come, the largest area first."""
    batch: int
    """Tiles in every batch."""
    slots: int
    threads: int
    streams: int = 1
    """Batches to compute side by side, each on its part of the threads; an engine that cannot computes one."""
    hint: Precision | None = None
    """What to compute an fp32 graph in; None: in what the graph says."""
    device: str = ""
    """As the engine's library calls it; empty for the processor."""
    caches: bool = False
    """It may keep what it compiled for the next run."""


EngineFactory = Callable[[EngineRequest], Engine]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """An engine that was chosen for a run: how to open it, and what it will need."""

    name: str
    description: str
    """Which version on which device."""
    reason: str
    """Why it was taken."""
    open: EngineFactory
    bytes_needed: Callable[[EngineRequest], int]
    """See `engine_bytes`."""
    fixed_shapes: Callable[[Model], tuple[tuple[int, int], ...]] = lambda _: ()
    """The input shapes `(H, W)` that it works in, or that the memory of its device holds; smaller tiles are well too.
    None if it takes any at once."""
    hint: Precision | None = None
    """What it computes an fp32 graph in; None: in what the graph says."""
    precision_reason: str = ""
    """Why in this precision."""
    is_tried_first: bool = False
    """The model's golden tiles must go through it before anything else: no export compared it on this device."""

    def precision(self, model: Model) -> str:
        """Return what a run of `model` computes in."""
        return self.hint or model.record.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """Whether an engine can run on this machine, and if not, why."""

    name: str
    version: str
    """Of the library; empty if it is not installed."""
    usable: bool
    why_not: str = ""
    hint: str = ""
    device: str = ""
    """What it would run on."""
    hints: tuple[Precision, ...] = ()
    """What it can compute an fp32 graph in here, besides fp32; the fastest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEntry:
    """One row of the table."""

    module: str
    """Has `status() -> EngineStatus` and `engine_bytes(request) -> int`, and `run_file`."""
    engine: str
    """The class in it, called with an `EngineRequest`."""
    has_fixed_shapes: bool = False
    """It builds for minutes for each shape, so `module` also has `fixed_shapes(model)`, and `export` compares a model
    on it only where it is named: what it builds is compared when it is built."""
    has_streams: bool = False
    """It computes as many batches side by side as `EngineRequest.streams` says."""
    takes_device: bool = False
    """`--device` can name what it runs on, so `status` takes that name."""
    is_on_a_gpu: bool = False
    """The memory of a device limits its tiles, so `module` also has `fixed_shapes(model)`; and what an export compared
    was this engine on that machine's GPU, so here it is tried on the golden tiles before it runs."""


ENGINES: dict[str, EngineEntry] = {
    "tensorrt": EngineEntry(module="unetctl.runtime.engine_tensorrt", engine="TensorRtEngine", has_fixed_shapes=True),
    "onnxruntime-cuda": EngineEntry(
        module="unetctl.runtime.engine_onnxruntime_cuda", engine="OnnxRuntimeCudaEngine", is_on_a_gpu=True
    ),
    "openvino": EngineEntry(
        module="unetctl.runtime.engine_openvino", engine="OpenVinoEngine", has_streams=True, takes_device=True
    ),
    "onnxruntime": EngineEntry(module="unetctl.runtime.engine_onnxruntime", engine="OnnxRuntimeEngine"),
}
"""The best first: `auto` takes the first that is usable."""


def engine_status() -> tuple[EngineStatus, ...]:
    """Say of each engine whether it can run here."""
    return tuple(_module(name).status() for name in ENGINES)


def engines_at_once() -> tuple[str, ...]:
    """List the engines that can run here and take a new model as it is: those on which `export` compares it."""
    return tuple(one.name for one in engine_status() if one.usable and not ENGINES[one.name].has_fixed_shapes)


def choose_engine(
    name: str, model: Model | None = None, *, precision: str = AUTO, device: str = "", caches: bool = False
) -> EngineChoice:
    """Return the engine to use for `--engine name`; `auto` takes the best that can really run `model` in `precision`.

    `precision` is `auto`, the fastest that the model's export accepted for the engine, or a name; without `model` the
    graph alone decides. `device` is what an engine's library calls it, as `GPU`; empty for what the engine takes. With
    `caches` it may keep what it compiled. Raises `UsageError` for an unknown name, `UnavailableError` where it cannot
    run, and `RefusedError` for a precision that was not accepted.
    """
    found: list[EngineStatus] = []
    refusals: list[RefusedError | UnavailableError] = []
    for wanted in _wanted(name, device):  # one after another: to ask an engine is to import its library
        one = _status(wanted, device)
        found.append(one)
        if not one.usable:
            continue
        try:
            computes_in = _precision(model, precision, one)
        except (RefusedError, UnavailableError) as error:
            refusals.append(error)
            continue
        hint = computes_in.hint if computes_in else None
        given = {"hint": hint, "device": device, "caches": caches}
        return EngineChoice(
            name=one.name,
            description=f"{one.name} {one.version} on {one.device}"
            + (f", {computes_in.precision}" if computes_in else ""),
            reason="it was asked for" if name != AUTO else "the best of those that can run here",
            open=partial(_open_with, one.name, given),
            bytes_needed=partial(_bytes_with, one.name, given),
            fixed_shapes=partial(fixed_shapes, one.name),
            hint=hint,
            precision_reason=computes_in.reason if computes_in else "",
            is_tried_first=bool(device) or ENGINES[one.name].is_on_a_gpu,
        )
    if refusals:
        raise refusals[0]
    raise UnavailableError(
        f"the engine {name} cannot run here" if name != AUTO else "no engine can run here",
        cause="; ".join(f"{one.name}: {one.why_not}" for one in found),
        hint=found[-1].hint,  # of the engine that runs everywhere
    )


def load_libraries(name: str, device: str = "") -> None:
    """Import what `choose_engine` is likely to take, so that it can be done beside other work. Raises `UsageError`."""
    for wanted in _wanted(name, device):
        if _status(wanted, device).usable:
            return


def _status(name: str, device: str) -> EngineStatus:
    found: EngineStatus = _module(name).status(device) if device else _module(name).status()
    return found


def _wanted(name: str, device: str) -> tuple[str, ...]:
    """Return the engines that `--engine name --device device` may mean, the best first. Raises `UsageError`."""
    if name != AUTO and name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}", hint=f"--engine auto, or one of {', '.join(ENGINES)}")
    wanted = tuple(ENGINES) if name == AUTO else (name,)
    if device and not (wanted := tuple(one for one in wanted if ENGINES[one].takes_device)):
        able = ", ".join(one for one, entry in ENGINES.items() if entry.takes_device)
        raise UsageError(f"{name} takes no --device", hint=f"--device {device} with --engine {able}")
    return wanted


def _precision(model: Model | None, wanted: str, engine: EngineStatus) -> PrecisionChoice | None:
    if model is None:
        return None
    built = ENGINES[engine.name].has_fixed_shapes
    return choose_precision(wanted, model, engine=engine.name, hints=engine.hints, is_compared_when_built=built)


def _open_with(name: str, given: Mapping[str, Any], request: EngineRequest) -> Engine:
    return open_engine(name, replace(request, **given))


def _bytes_with(name: str, given: Mapping[str, Any], request: EngineRequest) -> int:
    return engine_bytes(name, replace(request, **given))


def open_engine(name: str, request: EngineRequest) -> Engine:
    """Return the engine `name` for `request`; nothing is loaded before it is entered."""
    engine: Engine = getattr(_module(name), ENGINES[name].engine)(request)
    return engine


def run_file(
    name: str, path: Path, batches: Iterable[Mapping[str, NDArray[Any]]]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Run named inputs through a model file and yield all of its outputs, for the comparison at export."""
    found: Iterator[Mapping[str, NDArray[Any]]] = _module(name).run_file(path, batches, threads=processors())
    return found


def engine_bytes(name: str, request: EngineRequest) -> int:
    """Predict the bytes that an engine adds to the process at its peak: library, weights, activations and buffers.

    An upper bound, fitted to measured peaks.
    """
    predicted: int = _module(name).engine_bytes(request)
    return predicted


def fixed_shapes(name: str, model: Model) -> tuple[tuple[int, int], ...]:
    """Return the input shapes `(H, W)` of an engine with `model`, as `EngineChoice` has them."""
    has_some = ENGINES[name].has_fixed_shapes or ENGINES[name].is_on_a_gpu
    found: tuple[tuple[int, int], ...] = _module(name).fixed_shapes(model) if has_some else ()
    return found


def _module(name: str) -> Any:
    return import_module(ENGINES[name].module)
