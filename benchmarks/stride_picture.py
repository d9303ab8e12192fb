"""The picture of stride 388 against 384: `python -m benchmarks.stride_picture CHECKPOINT IMAGE docs/images/stride.png`.

A trained network labels one part of an image three times: at once, in tiles 388 px apart, and in tiles 384 px apart.
The tiles read 572 px and give 388; all are cut from the same mirrored image, and nothing but the stride differs.
"""

from __future__ import annotations

import io
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unetctl.runtime.geometry import is_valid_input, shrinkage_px
from unetctl.runtime.image import open_image
from unetctl.runtime.mirror import mirror_indices
from unetctl.runtime.plan import Window
from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.checkpoint import load_checkpoint
from unetctl.trainer.network import UNet

TILE_OUTPUT_PX = 388
STRIDES_PX = (388, 384)
SIDE_PX = 5 * TILE_OUTPUT_PX
"""Of the part that is labelled: five tiles of the paper."""
COLOURS = 128
"""Of the PNG: it lies in the repository."""


def labels_of(network: UNet, spec: ModelSpec, image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Label what the network can compute from `image` `[C, H, W]`: `[H - s, W - s]`."""
    shift, scale = (torch.tensor(one).view(1, -1, 1, 1) for one in (spec.normalisation.shift, spec.normalisation.scale))
    with torch.inference_mode():
        logits = network((torch.from_numpy(image)[None].float() - shift) * scale)
    labels: NDArray[np.int64] = logits[0].argmax(dim=0).numpy()
    return labels


def mirrored(image: NDArray[np.uint8], y0: int, x0: int, side: int) -> NDArray[np.uint8]:
    """Cut a square out of `image` `[C, H, W]`, mirrored where it reaches beyond it."""
    rows = mirror_indices(y0, y0 + side, image.shape[1])
    columns = mirror_indices(x0, x0 + side, image.shape[2])
    return np.ascontiguousarray(image[:, rows[:, None], columns])


def tiled(network: UNet, spec: ModelSpec, image: NDArray[np.uint8], stride: int) -> NDArray[np.int64]:
    """Label `image` in tiles `stride` px apart, of which each gives its first `stride` x `stride` px."""
    shrinkage = shrinkage_px(spec.depth)
    labels = np.empty(image.shape[1:], np.int64)
    for y0 in range(0, image.shape[1], stride):
        for x0 in range(0, image.shape[2], stride):
            tile = mirrored(image, y0 - shrinkage // 2, x0 - shrinkage // 2, TILE_OUTPUT_PX + shrinkage)
            place = labels[y0 : y0 + stride, x0 : x0 + stride]
            place[...] = labels_of(network, spec, tile)[: place.shape[0], : place.shape[1]]
    return labels


def compare(
    name: str, network: UNet, spec: ModelSpec, image: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.bool_]]]:
    """Return the labels of the whole, and where those of tiles at each stride differ; print how many do."""
    shrinkage = shrinkage_px(spec.depth)
    whole = labels_of(network, spec, mirrored(image, -shrinkage // 2, -shrinkage // 2, SIDE_PX + shrinkage))
    differing = {stride: tiled(network, spec, image, stride) != whole for stride in STRIDES_PX}
    for stride, differs in differing.items():
        print(f"{name}, stride {stride}: {differs.sum():,} labels differ, {100 * differs.mean():.3f} %")
    return whole, differing


def main() -> None:
    """Draw the picture, and print the figures, also those of the same network with random weights."""
    if len(sys.argv) != 4:
        sys.exit("usage: python -m benchmarks.stride_picture CHECKPOINT IMAGE PICTURE")
    checkpoint = load_checkpoint(Path(sys.argv[1]))
    spec = checkpoint.spec
    if not is_valid_input(TILE_OUTPUT_PX + shrinkage_px(spec.depth), spec.depth):
        sys.exit(f"the picture is that of the paper's tiles: a network of depth 4, not {spec.depth}")
    with closing(open_image(sys.argv[2])) as source:
        image = np.empty((source.info.channels, SIDE_PX, SIDE_PX), np.uint8)
        source.read(0, Window(y0=0, x0=0, y1=SIDE_PX, x1=SIDE_PX), image)
    whole, differing = compare("trained", checkpoint.network, spec, image)
    draw(image[0], whole, differing, spec, Path(sys.argv[3]))
    torch.manual_seed(2015)
    classes, channels = len(spec.classes), len(spec.channels)
    random = UNet(channels=channels, classes=classes, depth=spec.depth, base_channels=spec.base_channels)
    compare("random weights", random.eval(), spec, image)


def draw(
    image: NDArray[np.uint8],
    labels: NDArray[np.int64],
    differing: dict[int, NDArray[np.bool_]],
    spec: ModelSpec,
    picture: Path,
) -> None:
    """Draw the untiled labels, and where tiles of each stride differ from them."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_rgb
    from PIL import Image

    palette = 255 * np.array([to_rgb(one.colour) for one in spec.classes])
    gray = np.repeat(image[..., None], 3, axis=-1).astype(np.float64)
    coloured = np.where((labels == spec.background)[..., None], gray, 0.4 * gray + 0.6 * palette[labels])
    figure, axes = plt.subplots(1, 3, figsize=(13.2, 4.75), facecolor="white")
    axes[0].imshow(coloured.astype(np.uint8))
    axes[0].set_title("labels of the whole image at once", fontsize=12)
    for axis, (stride, differs) in zip(axes[1:], differing.items(), strict=True):
        axis.imshow((0.35 * gray + 150).astype(np.uint8))
        axis.scatter(*np.nonzero(differs)[::-1], s=2.2, c="#d6002a", marker="s", linewidths=0)
        for edge in range(stride, SIDE_PX, stride):
            axis.axhline(edge, color="#4a5568", linewidth=0.7, alpha=0.6)
            axis.axvline(edge, color="#4a5568", linewidth=0.7, alpha=0.6)
        count = int(differs.sum())
        figures = f"{count:,} labels differ ({100 * differs.mean():.2f} %)" if count else "no label differs"
        axis.set_title(f"tiles {stride} px apart: {figures}", fontsize=12)
    for axis in axes:
        axis.set_axis_off()
        axis.set_xlim(0, SIDE_PX)
        axis.set_ylim(SIDE_PX, 0)
    figure.subplots_adjust(left=0.005, right=0.995, top=0.93, bottom=0.005, wspace=0.02)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(picture, optimize=True)  # a third of the bytes


if __name__ == "__main__":
    main()
