"""A tiny project on disk, and pairs in memory: bright discs on a dark ground, which a tiny network learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.config import Config, load_config
from unetctl.trainer.dataset import Pair

TINY = """
[network]
depth = 1
base_channels = 4
[train]
steps = 6
tile = 32
validate_every = 3
learning_rate = 0.01
"""


def discs(seed: int, height: int = 72, width: int = 60) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image and its instances, 1 and up."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    instances = np.zeros((height, width), np.uint8)
    for number in range(1, 7):
        centre_y, centre_x, radius = random.integers(0, height), random.integers(0, width), random.integers(4, 10)
        instances[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] = number
    image = np.clip(60 + 90 * (instances > 0) + random.normal(0, 12, instances.shape), 0, 255).astype(np.uint8)
    return image, instances


def write_png(path: Path, array: NDArray[Any]) -> None:
    """Write `[H, W]` or `[H, W, S]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))


def make_project(folder: Path, *, pairs: int = 4, toml: str = "", labels: str = "classes") -> Config:
    """Write a project of PNG pairs; `labels` are `classes` (0, 1), `bytes` (0, 255) or `instances`."""
    for index in range(pairs):
        image, instances = discs(index)
        shown = {"classes": instances > 0, "bytes": 255 * (instances > 0), "instances": instances}[labels]
        write_png(folder / "images" / f"cell{index}.png", image)
        write_png(folder / "labels" / f"cell{index}.png", shown.astype(np.uint8))
    return write_toml(folder, TINY + toml)


def write_toml(folder: Path, text: str) -> Config:
    """Write and read `unetctl.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unetctl.toml").write_text(text)
    return load_config(folder / "unetctl.toml")


def pair_of(image: NDArray[Any], labels: NDArray[Any], border: NDArray[Any] | None = None) -> Pair:
    """Return a pair in memory whose pixels the network sees as they are."""
    chw = image.reshape(-1, *image.shape[-2:])
    return Pair(
        name="pair",
        image=chw,
        labels=labels.astype(np.uint8),
        border=np.zeros(labels.shape, np.float16) if border is None else border.astype(np.float16),
        shift=np.zeros(len(chw), np.float32),
        scale=np.ones(len(chw), np.float32),
    )
