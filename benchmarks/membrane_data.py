"""The ISBI 2012 membranes: which slices train, choose and are scored, and a project that keeps to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.spec import ModelSpec

TRAIN, VALIDATION, TEST = range(15), range(15, 18), range(18, 24)
"""Neighbouring slices look alike, so the parts are blocks."""

CLASSES = (
    {"name": "membrane", "values": [0], "colour": "#e41a1c"},
    {"name": "cell", "values": [255], "colour": "#377eb8"},
)
CELL = 1
"""Position of the class whose probability is thresholded."""


def membrane_sections(data: Path, train: Sequence[int] = TRAIN) -> dict[str, dict[str, Any]]:
    """Return the `[project]` and `[data]` of a project that trains on the slices `train` and chooses on 15-17.

    The test slices are in no part of it: no command of the project can score them.
    """
    folder = data.resolve() / "isbi2012-em" / "train"
    return {
        "project": {"name": "membranes"},
        "data": {
            "images": (folder / "image").as_posix(),
            "labels": (folder / "label").as_posix(),
            "train": [str(one) for one in train],
            "validation": [f"{VALIDATION[0]}-{VALIDATION[-1]}"],
            "background": "membrane",
        },
    }


def read_slices(data: Path, numbers: Sequence[int]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]]]:
    """Return images and truths `[H, W]`, True is cell, of slices of the public stack."""
    folder = data / "isbi2012-em" / "train"
    images = [imagecodecs.imread(folder / "image" / f"{number}.png") for number in numbers]
    labels = [imagecodecs.imread(folder / "label" / f"{number}.png") for number in numbers]
    return images, [one > 127 for one in labels]


def breach(spec: ModelSpec) -> str:
    """Say why a model may not be scored by this protocol; empty if it may."""
    split = (spec.training or {}).get("split", {})
    if tuple(one.name for one in spec.classes) != tuple(one["name"] for one in CLASSES):
        return "its classes are not membrane and cell, in this order"
    for part, allowed in (("train", TRAIN), ("validation", VALIDATION)):
        names = split.get(part, {}).get("names")
        if not names:
            return f"it does not say what its {part} images were"
        if beyond := sorted(set(names) - set(map(str, allowed))):
            return f"slices {', '.join(beyond)} were among its {part} images"
    return ""
