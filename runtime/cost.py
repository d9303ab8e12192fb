"""What a tile costs: multiply-adds and live activations of the paper's network, from its geometry alone.

A layer of the network on an input of H x W pixels computes (H - a)(W - a) / q^2 pixels, where `a` and `q` depend only
on where the layer stands. So the cost of a plan is a sum of products of per-axis sums, and no tile is enumerated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from unetctl.runtime.geometry import shrinkage_px


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer's share: it computes (H - lost_px)(W - lost_px) / scale^2 pixels from an input of H x W."""

    name: str
    lost_px: int
    scale: int
    multiply_adds: int
    """Per computed pixel."""
    live_channels: int
    """Channels that must be in memory at this layer's own size while it runs: its input and its output."""


@cache
def layers(depth: int, base_channels: int, image_channels: int = 1, classes: int = 2) -> tuple[Layer, ...]:
    """List the layers of the paper's network in the order in which they run."""
    found: list[Layer] = []

    def add(name: str, lost_px: int, scale: int, taps: int, inputs: int, outputs: int) -> None:
        found.append(
            Layer(
                name=name,
                lost_px=lost_px,
                scale=scale,
                multiply_adds=taps * inputs * outputs,
                live_channels=inputs + outputs,
            )
        )

    lost, scale, channels = 0, 1, image_channels
    for level in range(depth + 1):
        width = base_channels << level
        for inputs in (channels, width):
            lost += 2 * scale
            add(f"down{level}" if level < depth else "bottom", lost, scale, 9, inputs, width)
        channels, scale = width, scale * 2
    scale //= 2
    for level in reversed(range(depth)):
        width = base_channels << level
        scale //= 2
        add(f"upconv{level}", lost, scale, 1, 2 * width, width)  # a 2x2 up-convolution of stride 2 has one tap a pixel
        for inputs in (2 * width, width):
            lost += 2 * scale
            add(f"up{level}", lost, scale, 9, inputs, width)
    add("classify", lost, 1, 1, base_channels, classes)
    assert lost == shrinkage_px(depth)
    return tuple(found)


def multiply_adds(
    heights_px: list[int] | tuple[int, ...], widths_px: list[int] | tuple[int, ...], network: tuple[Layer, ...]
) -> int:
    """Count the multiply-adds of the tiles `heights_px` x `widths_px` (input sizes, each height with each width)."""
    total = 0
    for layer in network:
        rows = sum(height - layer.lost_px for height in heights_px)
        columns = sum(width - layer.lost_px for width in widths_px)
        total += layer.multiply_adds * rows * columns // layer.scale**2
    return total


def activation_values(height_px: int, width_px: int, network: tuple[Layer, ...]) -> int:
    """Count the values live at the worst moment of a tile: a layer's input and output, and the skips kept for later."""

    def area(layer: Layer) -> int:
        return max(0, (height_px - layer.lost_px) * (width_px - layer.lost_px) // layer.scale**2)

    skips = 0
    worst = 0
    for layer, after in zip(network, (*network[1:], None), strict=True):
        worst = max(worst, skips + layer.live_channels * area(layer))
        if layer.name.startswith("down") and after is not None and after.name != layer.name:
            skips += (layer.live_channels // 2) * area(layer)  # its second convolution keeps the number of channels
        if layer.name.startswith("upconv"):
            level = layer.name.removeprefix("upconv")
            kept = [one for one in network if one.name == f"down{level}"][-1]
            skips -= (kept.live_channels // 2) * area(kept)
    return worst


def weight_values(network: tuple[Layer, ...]) -> int:
    """Count the weights: one a multiply-add of a pixel, but an up-convolution has four phases and a pixel uses one."""
    return sum(one.multiply_adds * (4 if one.name.startswith("upconv") else 1) for one in network)
