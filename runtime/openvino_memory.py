"""What the OpenVINO engine takes: a graph of one size where it can be, and the bytes that it then needs."""

from __future__ import annotations

import platform

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.engine import slot_bytes
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.geometry import margin_px
from unetctl.runtime.plan import CHUNK_PX
from unetctl.runtime.precision import QUANTISED_KEY, Precision
from unetctl.runtime.spec import PixelType

LIBRARY_BYTES = 128 << 20
WEIGHT_COPIES = 2.2
"""The file as it is read, and the weights reordered for the processor's vectors; one more goes into the compile cache,
before there are activations."""
ACTIVATION_BYTES = {Precision.FP32: 4.6, Precision.BF16: 2.3, Precision.INT8: 1.4}
"""Peak of the activations over `activation_values`, in a graph of one size: measured 4.2, 2.0 and 1.1 (8 to 64
channels; tiles of 188 to 2236 px; two threads; OpenVINO 2026.4.1)."""
FREE_ACTIVATION_BYTES = {Precision.FP32: 6.2, Precision.BF16: 3.2, Precision.INT8: 3.2}
"""The same of a graph with free sizes, which shares the memory of its layers less well: 5.9, 2.9 and 2.9."""
AVERAGED_ACTIVATION_BYTES = {Precision.FP32: 8.0, Precision.BF16: 5.6, Precision.INT8: 5.6}
FREE_AVERAGED_ACTIVATION_BYTES = {Precision.FP32: 14.8, Precision.BF16: 10.4, Precision.INT8: 10.4}
"""The same with a model that averages: a block that a small tensor of one pass takes is a large one of another.
Measured 7.1, 4.8 and, of free sizes, 14.2, 9.1 (16, 64 channels; tiles of 700 to 1724 px; int8 was not measured)."""


def fixed_input(request: EngineRequest) -> list[int]:
    """Return the shape that the graph is compiled for; empty if its sizes stay free.

    It is compiled for one size where all tiles have the same and keep whole chunks, as those of large images do. There
    are few such sizes; every other image would leave a compiled network of its own in the cache.
    """
    spec = request.model.spec
    kept_px = [side - 2 * margin_px(spec.depth) for side in request.shapes[0]]
    if len(request.shapes) != 1 or any(side % CHUNK_PX for side in kept_px):
        return []
    sizes = [request.batch, len(spec.channels), *request.shapes[0]]
    return [*sizes, 2] if spec.pixel_type is PixelType.UINT16 else sizes


def engine_bytes(request: EngineRequest) -> int:
    """Predict the bytes that this engine adds at its peak: an upper bound, fitted to peaks that were measured."""
    spec, shape = request.model.spec, request.shapes[0]
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    tiles = request.batch * request.streams
    activations = int(_bytes_a_value(request) * activation_values(*shape, network) * tiles)
    weights = 4 * weight_values(network)
    opened = LIBRARY_BYTES + int(WEIGHT_COPIES * weights)
    return opened + max(activations, weights) + request.slots * slot_bytes(spec, shape, request.batch)


def _bytes_a_value(request: EngineRequest) -> float:
    """Return the bytes of memory for each value that must be there at the worst moment of a tile."""
    if request.model.record.averaging > 1:
        found = AVERAGED_ACTIVATION_BYTES if fixed_input(request) else FREE_AVERAGED_ACTIVATION_BYTES
    else:
        found = ACTIVATION_BYTES if fixed_input(request) else FREE_ACTIVATION_BYTES
    return found.get(_computed_in(request), found[Precision.FP32])


def _computed_in(request: EngineRequest) -> Precision:
    """Return the precision of the figures to use: fp32's, where layers may be in fp32 or nothing was measured."""
    precision = Precision(request.hint or request.model.record.precision)
    quantised = request.model.record.comparison.get(QUANTISED_KEY)
    has_kept_layers = isinstance(quantised, dict) and bool(quantised.get("kept_in_fp32"))
    is_measured = not request.device.startswith("GPU") and platform.machine().lower() in ("x86_64", "amd64")
    return Precision.FP32 if has_kept_layers or not is_measured else precision
