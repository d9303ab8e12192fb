"""Build a TensorRT plan from one of our ONNX models: one path for TensorRT 10.3 to 11 and TensorRT for RTX.

    ONNX, free in batch and tile  ->  parsed  ->  batch and tile fixed  ->  kernels chosen  ->  plan

The network is strongly typed: every layer computes in the type that the graph says, and precision is a property of the
graph alone, because TensorRT 11 knows no other way. TF32, which is on by default and would round the inputs of fp32
convolutions to 10 bits, is off.
TensorRT measures kernels on the GPU and takes minutes; TensorRT for RTX needs no GPU and takes seconds, and gives the
same bytes each time, but for the order in which it lists two outputs (of 25 builds 11 had one and 14 the other).

RUN with TensorRT for RTX 1.7.1. NOT RUN with TensorRT, whose names here were compared with 10.3, 10.13, 10.16 and 11.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetctl.runtime.errors import DataError, ResourceError, UnavailableError, UnetctlError, UsageError
from unetctl.runtime.library_errors import translated
from unetctl.runtime.tensorrt_callbacks import BuildProgress, OnProgress, make_log, make_monitor
from unetctl.runtime.tensorrt_library import TensorRtLibrary

if TYPE_CHECKING:
    from unetctl.runtime.cuda import DeviceFacts

WORKSPACE_SHARE = 0.5
"""Of what is free on the device, what a kernel may take for scratch; the network and the builder need the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlan:
    """What a build gave."""

    plan: bytes
    timing_cache: bytes
    """What was measured, for the next build on this device; empty with TensorRT for RTX, which measures nothing."""
    output_yx: tuple[int, int]
    onnx_sha256: str
    """Of the bytes that were built."""


def build_plan(
    onnx_path: Path,
    *,
    library: TensorRtLibrary,
    device: DeviceFacts | None,
    batch: int,
    shape: tuple[int, int],
    timing_cache: bytes = b"",
    compute_capabilities: Sequence[int] = (),
    on_progress: OnProgress = lambda _share, _phase: None,
) -> BuiltPlan:
    """Build a plan for `batch` tiles that read `shape` = `(H, W)` on `device`, the current one of this thread.

    `device` may be None, and `compute_capabilities` (as 89 for 8.9) may be given, only with TensorRT for RTX: looking
    for a GPU comes first, because TensorRT without one ends the process. `timing_cache` is that of an earlier build;
    one of another device or version is not used. Raises `DataError` for a graph that is refused, `ResourceError` for
    too little memory, `UnavailableError` without a GPU, and whatever `on_progress` raises, which stops the build.
    """
    if not library.is_rtx and device is None:
        raise UnavailableError(
            "TensorRT builds engines only on a machine with an NVIDIA GPU", hint="--trt-rtx needs none"
        )
    trt = library.module
    log = make_log(trt)
    builder = _started(trt, log, library)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)  # holds the weights, so it must live until the plan is built
    content = onnx_path.read_bytes()  # not by path: the library opens no other file, and no name is too foreign for it
    if not parser.parse(content):
        raise _refused(library, onnx_path, [_failure_text(parser.get_error(i)) for i in range(parser.num_errors)])
    with translated(library.name, f"{onnx_path} for tiles of {shape[0]} x {shape[1]} px"):
        output_yx = _fix_sizes(network, onnx_path, batch, shape)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    cache = None
    if library.is_rtx:
        _set_targets(trt, config, compute_capabilities)
    elif device is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(WORKSPACE_SHARE * device.free_bytes))
        cache = _set_timing_cache(config, timing_cache)
    progress = BuildProgress(on_progress)
    config.progress_monitor = monitor = make_monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    del monitor, parser
    if progress.stopped_by is not None:
        raise progress.stopped_by
    if plan is None:
        raise _refused(library, onnx_path, log.errors)
    measured = b"" if cache is None else bytes(config.get_timing_cache().serialize())
    return BuiltPlan(
        plan=bytes(plan),
        timing_cache=measured,
        output_yx=output_yx,
        onnx_sha256=hashlib.sha256(content).hexdigest(),
    )


def _started(trt: Any, log: Any, library: TensorRtLibrary) -> Any:
    """Make the builder, which fails where the library's parts or the driver do not fit each other."""
    try:
        return trt.Builder(log)
    except TypeError as error:  # a null pointer from C++, in the words of its binding
        raise UnavailableError(
            f"{library.name} {library.version} could not start",
            cause="; ".join(log.errors) or str(error),
            hint="its version must fit the driver and the GPU: unetctl doctor shows both",
        ) from error


def _fix_sizes(network: Any, onnx_path: Path, batch: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Set the free sizes of the input `image` and return the `(h, w)` that the network then gives."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    image = next((tensor for tensor in tensors if tensor.name == "image"), None)
    if image is None or len(image.shape) not in (4, 5):
        raise DataError(f"{onnx_path} has no input image [N, C, H, W]", hint="export it again")
    image.shape = (batch, image.shape[1], *shape, *tuple(image.shape)[4:])
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    free = [tensor.name for tensor in tensors if any(size < 0 for size in tensor.shape)]
    labels = next((tensor for tensor in tensors if tensor.name == "labels"), None)
    if free or labels is None:
        raise DataError(
            f"{onnx_path} is no model that can be built",
            cause=f"the sizes of {', '.join(free)} stay free" if free else "it gives no labels",
            hint="export it again",
        )
    return int(labels.shape[-2]), int(labels.shape[-1])


def _set_targets(rtx: Any, rtx_config: Any, capabilities: Sequence[int]) -> None:
    """Name the compute capabilities that TensorRT for RTX shall build for; none leaves the choice to it."""
    if not capabilities:
        return
    known = rtx.ComputeCapability.__members__
    unknown = [one for one in capabilities if f"SM{one}" not in known]
    if unknown or len(set(capabilities)) != len(capabilities):
        listed = ",".join(sorted((name[2:] for name in known if name.startswith("SM")), key=int))
        raise UsageError(
            f"--compute-capability {','.join(map(str, capabilities))} cannot be",
            cause=f"{unknown[0]} is none that TensorRT for RTX knows" if unknown else "one is given twice",
            hint=f"--compute-capability {listed}",
        )
    rtx_config.num_compute_capabilities = len(capabilities)
    for index, one in enumerate(capabilities):
        rtx_config.set_compute_capability(known[f"SM{one}"], index)


def _set_timing_cache(config: Any, earlier: bytes) -> Any:
    """Let the builder use and extend the measurements of an earlier build, or begin anew where they are another's."""
    cache = config.create_timing_cache(earlier)
    if cache is None or not config.set_timing_cache(cache, False):  # False: refuse one of another device or version
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _failure_text(failure: Any) -> str:
    """Return what the parser found wrong, and at which node."""
    node = " ".join(part for part in (failure.node_operator(), failure.node_name()) if part)
    return f"{failure.desc()}{f' (at {node})' if node else ''}"


def _refused(library: TensorRtLibrary, onnx_path: Path, messages: Sequence[str]) -> UnetctlError:
    """Return the error of a build that gave nothing."""
    cause = "; ".join(messages)[:500]
    if "out of memory" in cause.lower() or "outofmemory" in cause.lower():
        return ResourceError(
            f"{library.name} has too little memory to build an engine of {onnx_path}",
            cause=cause,
            hint="end other programs on the GPU (nvidia-smi lists them), or a smaller --tile",
        )
    return DataError(
        f"{library.name} {library.version} refuses {onnx_path}",
        cause=cause or "it does not say why",
        hint="unetctl check shows whether other engines take it; if they do, report this",
    )
