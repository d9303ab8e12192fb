"""The main job on real images: `python -m benchmarks.membranes FOLDER`, with the ISBI 2012 membranes.

Makes a project in FOLDER (training on slices 0-14, chosen on 15-17, scored once on 18-23), types the three commands, on
a slide of 8192 x 8192 px made of mirrored slices, and compares parts of its labels with one call of PyTorch on each.
The data is found through `UNETCTL_DATA`, or in ../shared/data beside the checkout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from benchmarks.demo import say, type_command
from tests.data import shared_data
from unetctl.runtime.geometry import CROP_PX, align_up, alignment_px, margin_px
from unetctl.runtime.image import open_image
from unetctl.runtime.mirror import read_mirrored
from unetctl.runtime.plan import Window
from unetctl.trainer.checkpoint import Checkpoint, load_checkpoint

SLIDE_PX = 8192
TILE_PX = 256
CROP_SIDE_PX = 1500
CROPS_YX = ((0, 0), (3008, 4496), (SLIDE_PX - CROP_SIDE_PX, SLIDE_PX - CROP_SIDE_PX))
"""A corner, where pixels are mirrored; the middle, across tiles; the far corner, which is no multiple of anything."""

SETTINGS = """
[project]
name = "membranes"

[data]
images = "{data}/image"
labels = "{data}/label"
train = ["0-14"]
validation = ["15-17"]
test = ["18-23"]
background = "membrane"

[[classes]]
name = "membrane"
values = [0]
colour = "#e41a1c"

[[classes]]
name = "cell"
values = [255]
colour = "#377eb8"

[network]
base_channels = {base_channels}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A part of the slide, labelled tile by tile and by one call of PyTorch."""

    window: Window
    differ: int
    largest_margin: float
    """Between the two best logits, among the pixels that differ; 0 if none does."""


def write_slide(folder: Path, path: Path) -> None:
    """Write slices, mirrored to and fro so that no seam shows, as a tiled and compressed TIFF."""
    slices = [imagecodecs.imread(folder / f"{index}.png") for index in range(24)]
    side = slices[0].shape[0]

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for y in range(0, SLIDE_PX, side):
            row = []
            for x in range(0, SLIDE_PX, side):
                one = slices[(y // side * 7 + x // side // 2) % len(slices)]
                one = one[:, ::-1] if x // side % 2 else one
                row.append(one[::-1] if y // side % 2 else one)
            band = np.concatenate(row, axis=1)
            for top in range(0, side, TILE_PX):
                for left in range(0, SLIDE_PX, TILE_PX):
                    yield np.ascontiguousarray(band[top : top + TILE_PX, left : left + TILE_PX])

    shape = (SLIDE_PX, SLIDE_PX)
    tifffile.imwrite(path, tiles(), shape=shape, dtype=np.uint8, tile=(TILE_PX, TILE_PX), compression="zlib")


def untiled_logits(checkpoint: Checkpoint, slide: Path, window: Window) -> NDArray[np.float32]:
    """Return PyTorch's logits `[K, h, w]` of one call; its origin keeps to the pooling grid of the whole image."""
    depth, margin = checkpoint.spec.depth, margin_px(checkpoint.spec.depth)
    y0, x0 = (start - start % alignment_px(depth) for start in (window.y0, window.x0))
    read = Window(
        y0=y0 - margin,
        x0=x0 - margin,
        y1=y0 + align_up(window.y1 - y0, depth) + margin,
        x1=x0 + align_up(window.x1 - x0, depth) + margin,
    )
    pixels = np.empty((1, *read.shape), np.uint8)
    with closing(open_image(slide)) as source:
        read_mirrored(source, 0, read, pixels)
    normalisation = checkpoint.spec.normalisation
    values = (pixels.astype(np.float32) - normalisation.shift[0]) * normalisation.scale[0]
    with torch.inference_mode():
        logits = checkpoint.network(torch.from_numpy(values[None]))[0].numpy()
    top, left = CROP_PX + window.y0 - y0, CROP_PX + window.x0 - x0
    return np.asarray(logits[:, top : top + window.height, left : left + window.width])


def compare(checkpoint: Checkpoint, slide: Path, result: Path, window: Window) -> Agreement:
    """Compare the published labels of a window with PyTorch's untiled ones."""
    logits = untiled_logits(checkpoint, slide, window)
    labels = np.empty((1, *window.shape), np.uint8)
    with closing(open_image(result)) as source:
        source.read(0, window, labels)
    second, best = np.sort(logits, axis=0)[-2:]
    differ = labels[0] != logits.argmax(axis=0)
    margin = float((best - second)[differ].max()) if differ.any() else 0.0
    return Agreement(window=window, differ=int(differ.sum()), largest_margin=margin)


def main() -> None:
    """Run the job in the folder named on the command line."""
    data = shared_data()
    if len(sys.argv) not in (2, 3) or data is None:
        sys.exit("usage: UNETCTL_DATA=... python -m benchmarks.membranes FOLDER [BASE_CHANNELS]")
    folder, base_channels = Path(sys.argv[1]), (sys.argv[2:] or ["16"])[0]
    folder.mkdir()
    train = data.resolve() / "isbi2012-em" / "train"
    (folder / "unetctl.toml").write_text(SETTINGS.format(data=train.as_posix(), base_channels=base_channels))
    slide, result = folder / "slide.tif", folder / "slide.labels.ome.tif"
    write_slide(train / "image", slide)

    type_command("train", folder=folder)
    type_command("export", folder=folder)
    type_command("segment", slide.name, folder=folder)

    say("the labels of three parts against one call of PyTorch on each")
    run = next((folder / "runs").iterdir())
    metrics = json.loads((run / "metrics.json").read_text())
    checkpoint = load_checkpoint(run / "model.safetensors")
    for y0, x0 in CROPS_YX:
        window = Window(y0=y0, x0=x0, y1=y0 + CROP_SIDE_PX, x1=x0 + CROP_SIDE_PX)
        found = compare(checkpoint, slide, result, window)
        print(
            f"{CROP_SIDE_PX} x {CROP_SIDE_PX} px at ({y0}, {x0}): {found.differ} of {CROP_SIDE_PX**2:,} labels "
            f"differ; largest margin between their two best logits {found.largest_margin:.2g}"
        )
    print(f"\nheld-out slices 18-23: {json.dumps(metrics['test'])}")


if __name__ == "__main__":
    main()
