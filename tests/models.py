"""Tiny models for tests: random ones, and sparse integer ones whose every sum is exact in fp32."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unetctl.exporter.export import export_model
from unetctl.runtime.geometry import input_px
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.spec import ClassInfo, ModelSpec, Normalisation, PixelType, Scope
from unetctl.trainer.checkpoint import save_checkpoint, weights_sha256
from unetctl.trainer.deploy import golden_tile
from unetctl.trainer.network import UNet

COLOURS = ("#000000", "#ffffff", "#e41a1c", "#377eb8", "#4daf4a")


def tiny_network(*, depth: int = 2, base_channels: int = 4, channels: int = 1, classes: int = 2, seed: int = 0) -> UNet:
    """A network with the paper's initialisation and biases, so that no layer is idle; eval mode."""
    torch.manual_seed(seed)
    network = UNet(channels=channels, classes=classes, depth=depth, base_channels=base_channels).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.normal_(std=0.1)
    return network


def tiny_spec(
    network: UNet,
    *,
    scope: Scope = Scope.MODEL,
    pixel_type: PixelType = PixelType.UINT8,
    shift: float | None = None,
    scale: float | None = None,
) -> ModelSpec:
    """The spec of any network; the normalisation defaults to one that fits random pixels of the type."""
    first, last = network.down[0][0], network.classify
    assert isinstance(first, nn.Conv2d)
    largest = 255.0 if pixel_type is PixelType.UINT8 else 65535.0
    figures = (largest / 2 if shift is None else shift, 4 / largest if scale is None else scale)
    channels = first.in_channels
    return ModelSpec(
        name="tiny",
        depth=network.depth,
        base_channels=first.out_channels,
        channels=("gray",) if channels == 1 else tuple(f"channel {index}" for index in range(channels)),
        pixel_type=pixel_type,
        normalisation=Normalisation(scope=scope)
        if scope is Scope.IMAGE
        else Normalisation(scope=scope, shift=(figures[0],) * channels, scale=(figures[1],) * channels),
        classes=tuple(
            ClassInfo(name=f"class {index}", colour=COLOURS[index % len(COLOURS)]) for index in range(last.out_channels)
        ),
        weights_sha256=weights_sha256(network.state_dict()),
        created="2026-01-01T00:00:00+00:00",
    )


def random_pixels(spec: ModelSpec, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Pixels `[*shape]` over the whole range of the model's type."""
    largest = np.iinfo(spec.pixel_type.value).max
    pixels: NDArray[np.uint8] | NDArray[np.uint16] = np.random.default_rng(seed).integers(
        0, largest, size=shape, dtype=spec.pixel_type.value, endpoint=True
    )
    return pixels


def tiny_golden(network: UNet, spec: ModelSpec, count: int = 2, kept_px: int = 32) -> tuple[GoldenTile, ...]:
    """Golden tiles of random pixels; `kept_px` is rounded up to what the depth allows."""
    side = input_px(-(-kept_px >> network.depth) << network.depth, network.depth)
    channels = len(spec.channels)
    largest = float(np.iinfo(spec.pixel_type.value).max)
    shift = np.array(spec.normalisation.shift or (largest / 2,) * channels, dtype=np.float32)
    scale = np.array(spec.normalisation.scale or (4 / largest,) * channels, dtype=np.float32)
    return tuple(
        golden_tile(network, random_pixels(spec, (channels, side, side), seed), shift=shift, scale=scale)
        for seed in range(count)
    )


def tiny_checkpoint(path: Path, network: UNet, spec: ModelSpec, golden: tuple[GoldenTile, ...] | None = None) -> Path:
    """Write a checkpoint of any network and return its path."""
    save_checkpoint(path, network, spec, tiny_golden(network, spec) if golden is None else golden)
    return path


def integer_network(*, depth: int, base_channels: int = 4, channels: int = 1, classes: int = 2, seed: int = 0) -> UNet:
    """A network of sparse integer weights, for `integer_spec`: two or three taps of +1 or -1 a filter.

    With integer pixels every activation and partial sum is an integer (`largest_sum` tells how large), so that any
    order of summation gives the same bits. Only the last 1x1 convolution takes all channels, so that none is idle.
    """
    network = UNet(channels=channels, classes=classes, depth=depth, base_channels=base_channels).eval()
    draw = np.random.default_rng(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                _make_sparse_up(layer, draw)
            elif layer is network.classify:
                _make_classes(layer, draw)
            elif isinstance(layer, nn.Conv2d):
                _make_sparse(layer, draw)
        _balance(network, channels)
    return network


def _make_sparse(layer: nn.Conv2d, draw: np.random.Generator) -> None:
    """Give each filter two or three taps in different input channels, one of them -1, so that every input is used."""
    weights = np.zeros(tuple(layer.weight.shape))
    inputs = draw.permutation(layer.in_channels)
    used = 0
    for weight in weights:
        taps = int(draw.integers(2, 4))
        places = draw.permutation(9)[:taps]
        for tap, place in enumerate(places):
            weight[inputs[used % len(inputs)], place // 3, place % 3] = -1.0 if tap == 1 else 1.0
            used += 1
    layer.weight.copy_(torch.from_numpy(weights))
    assert layer.bias is not None
    layer.bias.copy_(torch.from_numpy(draw.integers(0, 9, size=layer.out_channels).astype(np.float64)))


def _make_classes(layer: nn.Conv2d, draw: np.random.Generator) -> None:
    """Let each class add and subtract all channels, no two classes alike."""
    signs = np.zeros((0, layer.in_channels))
    while len(signs) < layer.out_channels:
        signs = np.unique(np.vstack([signs, draw.choice((-1.0, 1.0), size=layer.in_channels)]), axis=0)
    layer.weight.copy_(torch.from_numpy(draw.permutation(signs)[:, :, None, None]))
    assert layer.bias is not None
    layer.bias.zero_()


def _balance(network: UNet, channels: int) -> None:
    """Move each class's logits to a median of zero on random pixels, so that labels vary."""
    side = input_px(8 << network.depth, network.depth)
    pixels = np.random.default_rng(0).integers(-128, 128, size=(1, channels, side, side))
    logits = network(torch.from_numpy(pixels.astype(np.float32)))
    assert network.classify.bias is not None
    network.classify.bias.copy_(-logits.flatten(2).median(dim=2).values[0].round())


def _make_sparse_up(layer: nn.ConvTranspose2d, draw: np.random.Generator) -> None:
    """Let each of the four pixels that an input makes take two other channels, so that its place matters."""
    weights = np.zeros(tuple(layer.weight.shape))
    inputs = draw.permutation(layer.in_channels)
    used = 0
    for output in range(layer.out_channels):
        for place in range(4):
            for sign in (1.0, -1.0 if place % 2 else 1.0):
                weights[inputs[used % len(inputs)], output, place // 2, place % 2] = sign
                used += 1
    layer.weight.copy_(torch.from_numpy(weights))
    assert layer.bias is not None
    layer.bias.copy_(torch.from_numpy(draw.integers(0, 9, size=layer.out_channels).astype(np.float64)))


def integer_spec(network: UNet, *, scope: Scope = Scope.MODEL, pixel_type: PixelType = PixelType.UINT8) -> ModelSpec:
    """The spec of an integer network: pixels less half their range, unscaled."""
    return tiny_spec(
        network,
        scope=scope,
        pixel_type=pixel_type,
        shift=float(2 ** (8 * np.dtype(pixel_type.value).itemsize - 1)),
        scale=1.0,
    )


def largest_sum(network: UNet, pixels: NDArray[np.uint8] | NDArray[np.uint16], spec: ModelSpec) -> float:
    """The largest partial sum, in any order, of any layer on `pixels` `[N, C, H, W]`: exact in fp32 if below 2^24."""
    largest = 0.0

    def look(layer: nn.Module, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        nonlocal largest
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        assert layer.bias is not None
        run = nn.functional.conv_transpose2d if isinstance(layer, nn.ConvTranspose2d) else nn.functional.conv2d
        sums = run(inputs[0].abs(), layer.weight.abs(), layer.bias.abs(), stride=layer.stride)
        largest = max(largest, float(sums.max()))

    hooks = [
        one.register_forward_hook(look) for one in network.modules() if isinstance(one, nn.Conv2d | nn.ConvTranspose2d)
    ]
    shift = torch.tensor(spec.normalisation.shift).reshape(1, -1, 1, 1)
    with torch.inference_mode():
        network(torch.from_numpy(pixels.astype(np.float32)) - shift)
    for hook in hooks:
        hook.remove()
    return largest


@cache
def _exported(
    outputs: tuple[str, ...], integer: bool, scope: Scope, pixel_type: PixelType, **sizes: int
) -> tuple[bytes, bytes]:
    """Export once a test session what many tests use; return the checkpoint's bytes and the model's."""
    network = integer_network(**sizes) if integer else tiny_network(**sizes)
    spec = (integer_spec if integer else tiny_spec)(network, scope=scope, pixel_type=pixel_type)
    with TemporaryDirectory() as folder:
        checkpoint = tiny_checkpoint(Path(folder, "model.safetensors"), network, spec)
        result = export_model(checkpoint, Path(folder, "model.onnx"), outputs=outputs)
        return checkpoint.read_bytes(), result.path.read_bytes()


def tiny_model(
    folder: Path,
    *,
    depth: int = 2,
    base_channels: int = 4,
    channels: int = 1,
    classes: int = 2,
    seed: int = 0,
    integer: bool = False,
    scope: Scope = Scope.MODEL,
    pixel_type: PixelType = PixelType.UINT8,
    outputs: tuple[str, ...] = ("labels",),
) -> Path:
    """Write a real exported model `model.onnx` into `folder`, with its checkpoint `model.safetensors` beside it."""
    sizes = {"depth": depth, "base_channels": base_channels, "channels": channels, "classes": classes, "seed": seed}
    checkpoint, model = _exported(outputs, integer, scope, pixel_type, **sizes)
    folder.joinpath("model.safetensors").write_bytes(checkpoint)
    path = folder / "model.onnx"
    path.write_bytes(model)
    return path
