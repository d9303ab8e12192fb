"""The fluorescence images of dsb2018-nuclei-cc0, as one gray channel: part of BBBC038, in the public domain (CC0).

The data is found through `UNETCTL_DATA`, or in ../shared/data beside the checkout.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from tests.data import shared_data

NAME = "dsb2018-nuclei-cc0"


def image_files() -> dict[str, Path]:
    """Return the image file of each fluorescence image that the index lists and that is here, by name."""
    data = shared_data()
    if data is None or not (data / NAME).is_dir():
        sys.exit(f"the data set {NAME} is missing; set UNETCTL_DATA to the folder that holds it")
    with (data / NAME / "index.tsv").open(encoding="utf-8", newline="") as file:
        names = [row["image_id"] for row in csv.DictReader(file, delimiter="\t") if row["group"] == "fluo"]
    files = {name: data / NAME / "train" / "fluo" / "images" / f"{name}.png" for name in sorted(names)}
    return {name: path for name, path in files.items() if path.is_file()}


def label_file(image: Path) -> Path:
    """Return the file of the numbered nuclei of an image."""
    return image.parent.parent / "labels" / image.name


def to_gray(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return `[H, W]` of RGBA or RGB `[H, W, 3 or 4]` that holds nothing but gray. Raises `ValueError` otherwise."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise ValueError(f"{name}: {pixels.dtype} of shape {pixels.shape} is no 8-bit RGB or RGBA image")
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if not (np.array_equal(red, green) and np.array_equal(green, blue)):
        raise ValueError(f"{name}: it is coloured, and a gray image is expected")
    if pixels.shape[2] == 4 and not (pixels[..., 3] == 255).all():
        raise ValueError(f"{name}: parts of it are transparent")
    return np.ascontiguousarray(red)


def read_images() -> dict[str, NDArray[np.uint8]]:
    """Return all images `[H, W]` by name."""
    return {name: to_gray(imagecodecs.imread(path), name) for name, path in image_files().items()}
