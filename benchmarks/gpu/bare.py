"""The engine alone, on tiles that lie ready: all that a run from file to file could reach.

- engine: unetctl's own, its slots kept full; copies to the device and back included, and nothing else
- library: PyTorch or ONNX Runtime by itself, as most people would call it, on a tile that is on the device already
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.engines import TORCH, Found, open_choice
from benchmarks.gpu.memory import DeviceMemory
from benchmarks.gpu.networks import SCALE, SHIFT, Network, pixels_of
from benchmarks.gpu.peaks import device_name, repeated_seconds, tf32
from benchmarks.gpu.rows import Facts
from benchmarks.gpu.settings import Settings

if TYPE_CHECKING:
    from unetctl.runtime.engine import Engine
    from unetctl.runtime.model import Model
    from unetctl.runtime.spec import ModelSpec
    from unetctl.runtime.statistics import Statistics

Sizes = tuple[int, int]


def engine_speed(found: Found, precision: str, network: Network, *, kept_yx: Sizes, batch: int) -> Facts:
    """Measure an engine on ready tiles that keep `kept_yx` px."""
    from unetctl.runtime.engines import EngineRequest
    from unetctl.runtime.tile_choice import SLOTS

    choice, model = open_choice(found, precision, network)
    shape = read_shape(model.spec, kept_yx)
    request = EngineRequest(model=model, shapes=(shape,), batch=batch, slots=SLOTS, threads=network.settings.threads)
    with DeviceMemory() as memory:
        begun = time.perf_counter()
        with choice.open(request) as engine:
            opened = time.perf_counter() - begun
            pixels = pixels_of(model.spec, max(shape))[:, : shape[0], : shape[1]]
            for slot in range(engine.slots):
                engine.buffer(slot, shape)[:] = pixels
            seconds = _batch_seconds(engine, shape, statistics_for(model.spec), network.settings)
            slots = engine.slots
    return {
        **speed_facts(model.spec, kept_yx, batch, seconds),
        "slots": slots,
        "open_seconds": opened,
        "device_bytes": memory.peak_bytes,
    }


def _batch_seconds(
    engine: Engine, shape: tuple[int, int], statistics_of: Statistics | None, settings: Settings
) -> list[float]:
    """Return the seconds of a batch in each repeat, with all slots kept in flight; the first batches are not counted.

    An engine's result is in the host's memory when it is handed out, so a repeat ends when its work is done.
    """

    def run(batches: int) -> float:
        flying: deque[int] = deque()
        begun = time.perf_counter()
        for index in range(batches):
            slot = index % engine.slots
            if len(flying) == engine.slots:
                engine.result(flying.popleft())
            engine.buffer(slot, shape)  # as a run does; its pixels are there
            engine.submit(slot, statistics_of)
            flying.append(slot)
        while flying:
            engine.result(flying.popleft())
        return time.perf_counter() - begun

    run(2 * engine.slots)
    once = run(engine.slots) / engine.slots
    batches = max(engine.slots, round(settings.repeat_seconds / once))
    return [run(batches) / batches for _ in range(settings.repeats)]


def statistics_for(spec: ModelSpec) -> Statistics | None:
    """Return what a model that normalises by the whole image is given, None for any other."""
    from unetctl.runtime.spec import Scope
    from unetctl.runtime.statistics import Statistics

    if spec.normalisation.scope is not Scope.IMAGE:
        return None
    channels = len(spec.channels)
    return Statistics(shift=(SHIFT * 257,) * channels, scale=(SCALE / 257,) * channels)


def read_shape(spec: ModelSpec, kept_yx: Sizes) -> tuple[int, int]:
    """Return what a tile reads that keeps so many pixels."""
    from unetctl.runtime.geometry import input_px

    return input_px(kept_yx[0], spec.depth), input_px(kept_yx[1], spec.depth)


def speed_facts(spec: ModelSpec, kept_yx: Sizes, batch: int, seconds: list[float]) -> Facts:
    """Return what a batch of tiles tells: output pixels and arithmetic operations a second, of the median repeat."""
    from unetctl.runtime.cost import layers, multiply_adds

    height, width = read_shape(spec, kept_yx)
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    middle = statistics.median(seconds)
    return {
        "mpx_per_second": batch * kept_yx[0] * kept_yx[1] / middle / 1e6,
        "tflops": 2 * batch * multiply_adds([height], [width], network) / middle / 1e12,
        "repeats_seconds": seconds,
    }


def library_speed(found: Found, precision: str, network: Network, *, kept_yx: Sizes, batch: int) -> Facts:
    """Measure the library without unetctl's engine, on one batch that is on the device."""
    _, model = open_choice(found, precision, network)
    height, width = read_shape(model.spec, kept_yx)
    tiles = np.repeat(pixels_of(model.spec, max(height, width))[None, :, :height, :width], batch, axis=0)
    with DeviceMemory() as memory:
        if found.engine == TORCH:
            seconds = _torch_run(precision, network, model, tiles)
        else:
            seconds = _onnxruntime_run(network, model, tiles)
    return {**speed_facts(model.spec, kept_yx, batch, seconds), "device_bytes": memory.peak_bytes}


def _torch_run(precision: str, network: Network, model: Model, tiles: NDArray[Any]) -> list[float]:
    """Time the deploy graph in PyTorch, eager and channels last, its network in `precision`."""
    import torch

    from benchmarks.gpu.torch_graph import deploy_graph
    from unetctl.trainer.checkpoint import load_checkpoint

    device = device_name(network.settings)
    graph = deploy_graph(load_checkpoint(model.path), precision, device, "labels")
    image = torch.from_numpy(tiles).to(device)
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        with torch.inference_mode(), tf32(False):
            return repeated_seconds(lambda: graph(image), network.settings)
    finally:
        torch.backends.cudnn.benchmark = before


def _onnxruntime_run(network: Network, model: Model, tiles: NDArray[Any]) -> list[float]:
    """Time a session with the settings that ONNX Runtime has by itself, its input and output on the device."""
    import onnxruntime

    device = "cpu" if network.settings.rehearse else "cuda"
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    session = onnxruntime.InferenceSession(str(model.path), providers=[provider])
    if provider not in session.get_providers():
        raise RuntimeError(f"ONNX Runtime took {session.get_providers()} instead of {provider}")
    binding = session.io_binding()
    for name, array in _graph_inputs(model.spec, tiles).items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0))
    binding.bind_output("labels", device)
    return repeated_seconds(lambda: session.run_with_iobinding(binding), network.settings)


def _graph_inputs(spec: ModelSpec, tiles: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the named inputs of an exported graph: pixels of 16 bits as their bytes, the image's figures if asked."""
    figures = statistics_for(spec)
    wide = tiles.view(np.uint8).reshape(*tiles.shape, 2) if tiles.dtype == np.uint16 else tiles
    if figures is None:
        return {"image": wide}
    return {"image": wide, "shift": np.array(figures.shift, np.float32), "scale": np.array(figures.scale, np.float32)}
