"""The networks and slides that speed is measured with: gray and deflated, or in colour and JPEG, as slides are.

A verdict on bf16 and int8 is of labels, so networks must have learned a little: the demo's cells are learned in a
few minutes at up to 32 channels; wider networks, and those for colours, are made of these (`benchmarks.widen`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from benchmarks import demo_data
from benchmarks.demo import type_command
from benchmarks.project_runs import make_project, train_once
from benchmarks.widen import colour_checkpoint, widen_checkpoint

COLOURS = ("gray", "rgb")
WIDEST_TRAINED = 32
JPEG_QUALITY = 90


def in_colour(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a gray image `[H, W]` as `[H, W, 3]`: three times as much is decoded and moved."""
    return np.repeat(gray[..., None], 3, axis=-1)


def trained_models(folder: Path, channels: int, steps: int, colour: str = "gray") -> tuple[Path, Path, Path]:
    """Train on the demo's images, or make it of what was, and export: the checkpoint, and the models in fp32 and int8.

    What is there already is taken as it is.
    """
    name = f"speed-{colour}-{channels}"
    project = folder / name
    demo_data.write_training(project / "data")
    if colour == "rgb":
        for path in (project / "data" / "images").glob("*.png"):
            path.write_bytes(imagecodecs.png_encode(in_colour(imagecodecs.png_decode(path.read_bytes()))))
    classes = [{"name": one, "colour": shade} for one, shade in demo_data.CLASSES]
    sections: dict[str, dict[str, Any]] = {
        "project": {"name": name},
        "data": {"images": "data/images", "labels": "data/labels", "background": demo_data.CLASSES[0][0]},
        "network": {"base_channels": channels},
        "train": {"steps": steps},
    }
    make_project(project, sections, classes)
    checkpoint = project / "made.safetensors"
    if colour == "gray" and channels <= WIDEST_TRAINED:
        checkpoint = train_once(project, seed=0).model
    elif not checkpoint.exists() and colour == "gray":
        widen_checkpoint(trained_models(folder, channels // 2, steps)[0], checkpoint)
    elif not checkpoint.exists():
        colour_checkpoint(trained_models(folder, channels, steps)[0], checkpoint)
    plain, quantised = (project / "models" / f"{name}{kind}.onnx" for kind in ("", ".int8"))
    for model, options in ((plain, ()), (quantised, ("--precision", "int8"))):
        if not model.exists():
            named = ("--model", str(checkpoint), "--output", str(model))
            type_command("export", *options, *named, folder=project)
    return checkpoint, plain, quantised


def made_slide(folder: Path, side_px: int, colour: str = "gray") -> Path:
    """Return the demo's slide of a size, tiled and compressed; one that is there already is taken."""
    slide = folder / f"slide{side_px}.tif"
    if not slide.exists():
        demo_data.write_slide(slide, folder / f"truth{side_px}.tif", side_px=side_px)
    if colour == "gray":
        return slide
    coloured = folder / f"slide{side_px}-rgb.tif"
    if not coloured.exists():
        pixels = in_colour(tifffile.imread(slide))
        layout = {"tile": (demo_data.TILE_PX, demo_data.TILE_PX), "subsampling": (2, 2)}
        level = {"compressionargs": {"level": JPEG_QUALITY}}
        tifffile.imwrite(coloured, pixels, photometric="rgb", compression="jpeg", **layout, **level)
    return coloured
