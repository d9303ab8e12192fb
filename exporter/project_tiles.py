"""Tiles of a project's own images: those that calibrate an int8 graph, and those that judge it.

Calibration takes training images: the ranges of 24 places of up to 24 of them. Golden tiles alone would not do: there
are two, and a range that they do not reach would be clipped on every image. Judging takes the validation images, with
their labels. Which image is of which part is what the checkpoint says, not what the project's settings say today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.exporter.judge import JudgedTile
from unetctl.exporter.subject import Subject
from unetctl.runtime.errors import DataError, UnetctlError
from unetctl.runtime.geometry import CROP_PX, align_up, input_px, margin_px
from unetctl.runtime.plan import Window
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Pair, load_dataset
from unetctl.trainer.deploy import golden_tile, image_bytes
from unetctl.trainer.sample import cut

CALIBRATION_TILES = 24
CALIBRATION_PX = 192
"""Kept pixels a side: the activations of one tile are held at once."""
JUDGED_IMAGES = 4
JUDGED_PX = 512
"""Kept pixels a side, out of the middle of an image."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProjectPairs:
    """The images of a project that a checkpoint was trained on, and those that it was validated on."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]


def project_pairs(config: Config, spec: ModelSpec) -> ProjectPairs:
    """Read the project's images and labels as training did, by the parts that `spec` names.

    Raises `DataError` where they are not those of the checkpoint, and what `load_dataset` raises.
    """
    dataset = load_dataset(replace(config, train=replace(config.train, border_weight=0.0)))
    names = [one.name for one in dataset.classes.classes]
    if names != [one.name for one in spec.classes]:
        raise DataError(
            f"the project's classes are {', '.join(names)}, and the checkpoint's "
            f"{', '.join(one.name for one in spec.classes)}",
            hint="export in the project that the checkpoint was trained in",
        )
    split: Any = spec.training.get("split", {})
    known = {one.name: one for one in (*dataset.train, *dataset.validation, *dataset.test)}
    train, validation = (
        tuple(known[name] for name in split.get(part, {}).get("names", ()) if name in known)
        for part in ("train", "validation")
    )
    if not train or not validation:
        raise DataError(
            "the images that this checkpoint was trained and validated on are not in the project",
            cause="int8 is calibrated on training images and judged on validation images",
            hint="--data FOLDER with images/ and labels/, or export in the project that it was trained in",
        )
    return ProjectPairs(train=train, validation=validation)


def labelled_tiles(config: Config, subject: Subject) -> tuple[JudgedTile, ...]:
    """Return tiles of the project's validation images with their labels; none where they are no longer there."""
    try:
        pairs = project_pairs(config, subject.spec)
    except UnetctlError:
        return ()
    return judged_tiles(pairs.validation, subject)


def calibration_inputs(pairs: Sequence[Pair], spec: ModelSpec) -> tuple[Mapping[str, NDArray[Any]], ...]:
    """Return named inputs of the exported graph: places of the images, the same ones every time."""
    draw = np.random.default_rng(0)
    kept, margin = align_up(CALIBRATION_PX, spec.depth), margin_px(spec.depth)
    side = input_px(kept, spec.depth)
    found = []
    for number in range(CALIBRATION_TILES):
        pair = pairs[number * len(pairs) // CALIBRATION_TILES]
        y, x = (int(draw.integers(0, max(1, size - kept + 1))) - margin for size in pair.labels.shape)
        image = cut(pair.image, Window(y0=y, x0=x, y1=y + side, x1=x + side)).astype(spec.pixel_type.value)
        inputs: dict[str, NDArray[Any]] = {"image": image_bytes(np.ascontiguousarray(image)[None])}
        if spec.normalisation.scope is Scope.IMAGE:
            inputs |= {"shift": pair.shift, "scale": pair.scale}
        found.append(inputs)
    return tuple(found)


def judged_tiles(pairs: Sequence[Pair], subject: Subject) -> tuple[JudgedTile, ...]:
    """Cut a large tile out of the middle of a few images, with its labels, and run PyTorch on it."""
    chosen = [pairs[at] for at in sorted({round(at) for at in np.linspace(0, len(pairs) - 1, JUDGED_IMAGES)})]
    return tuple(_judged(pair, subject) for pair in chosen)


def _judged(pair: Pair, subject: Subject) -> JudgedTile:
    depth = subject.spec.depth
    starts, sides = [], []
    for size in pair.labels.shape:
        kept = min(align_up(size, depth), align_up(JUDGED_PX, depth))
        starts.append(max(0, (size - kept) // 2))
        sides.append(kept)
    (y, x), (height, width), margin = starts, sides, margin_px(depth)
    read = Window(y0=y - margin, x0=x - margin, y1=y + height + margin, x1=x + width + margin)
    image = np.ascontiguousarray(cut(pair.image, read).astype(subject.spec.pixel_type.value))
    truth = cut(pair.labels, Window(y0=y - CROP_PX, x0=x - CROP_PX, y1=y + height + CROP_PX, x1=x + width + CROP_PX))
    tile = golden_tile(subject.network, image, shift=pair.shift, scale=pair.scale)
    return JudgedTile(tile=tile, truth=np.ascontiguousarray(truth).astype(np.uint8))
