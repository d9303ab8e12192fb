"""Which tiles to build engines for when nobody says: a larger tile computes less for a pixel, and takes more memory."""

from __future__ import annotations

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.engine import slot_bytes
from unetctl.runtime.geometry import input_px
from unetctl.runtime.model import Model
from unetctl.runtime.tile_choice import SLOTS

DEFAULT_TILES = (512, 1024)
"""Kept pixels. Multiples of the output's chunks, so that tiles inside an image fit them; 2048 would compute 4 % less
and take four times the memory."""

ACTIVATION_FACTOR = 1.25
"""What an engine works in over `activation_values`: 234 MiB over 191 for the paper's network at 572 px in fp32, by the
log of a TensorRT for RTX 1.7 build. NOT MEASURED on a GPU."""

LIBRARY_BYTES = 768 << 20
"""Of the device, for CUDA's and TensorRT's own. NOT MEASURED."""


def default_tiles(model: Model, free_bytes: int | None) -> tuple[int, ...]:
    """Return the kept pixels of the default tiles whose engines fit into `free_bytes` of a device, the first always.

    All of them if it is not known what is free, as where an engine is built for another machine.
    """
    if free_bytes is None:
        return DEFAULT_TILES
    first, *others = DEFAULT_TILES
    return (first, *(kept for kept in others if device_bytes(model, kept) <= free_bytes))


def device_bytes(model: Model, kept_px: int) -> int:
    """Estimate the device memory of an engine for tiles that keep `kept_px`, with all its slots."""
    spec = model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    side = input_px(kept_px, spec.depth)
    value_bytes = 4 if model.record.precision == "fp32" else 2
    activations = int(ACTIVATION_FACTOR * value_bytes * activation_values(side, side, network))
    slots = SLOTS * (activations + slot_bytes(spec, (side, side), 1))
    return LIBRARY_BYTES + value_bytes * weight_values(network) + slots
