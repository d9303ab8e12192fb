"""Predictions of a model for the images of an evaluation: of a checkpoint, or of an exported model by the runtime."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.engines import EngineChoice
from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.model import Model
from unetctl.runtime.segmentation import segment
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.statistics import array_statistics
from unetctl.trainer.checkpoint import Checkpoint
from unetctl.trainer.evaluate import Prediction
from unetctl.trainer.settings import DataConfig

TOGETHER_PX = 1 << 26
"""Pixels of images of one shape that an exported model gets at once: opening an engine takes seconds."""


def checkpoint_predictions(
    checkpoint: Checkpoint, images: Sequence[NDArray[Any]], *, background: int, averaged: bool = False
) -> Iterator[Prediction]:
    """Yield what the network finds in each image `[C, H, W]`, in fp32, with probabilities where there are two classes.

    `averaged` is over the eight symmetries of the square. Raises `CheckFailedError` for a logit that is no number.
    """
    import torch

    from unetctl.trainer.averaging import Averaged
    from unetctl.trainer.machine import choose_machine
    from unetctl.trainer.validate import tiled_logits

    machine = choose_machine("fp32")
    placed = machine.place(checkpoint.network)
    network = Averaged(placed) if averaged else placed
    for image in images:
        started = time.perf_counter()
        shift, scale = figures(checkpoint.spec, image)
        labels = np.empty(image.shape[-2:], np.uint8)
        probability = np.empty(image.shape[-2:], np.float32) if len(checkpoint.spec.classes) == 2 else None
        for window, logits in tiled_logits(network, image, shift=shift, scale=scale, machine=machine):
            if not torch.isfinite(logits).all():
                raise CheckFailedError(
                    f"{checkpoint.path} gives a NaN or an infinity", hint="look at the image, then train again"
                )
            kept = slice(window.y0, window.y1), slice(window.x0, window.x1)
            labels[kept] = logits.argmax(dim=0).numpy()
            if probability is not None:
                probability[kept] = logits.softmax(dim=0)[1 - background].numpy()
        yield Prediction(labels=labels, probability=probability, seconds=time.perf_counter() - started)


def exported_predictions(
    model: Model, images: Sequence[NDArray[Any]], engine: EngineChoice, on_image: Callable[[int], None]
) -> list[Prediction]:
    """Return what an exported model finds in each image `[C, H, W]`; the seconds are with opening the engine.

    `on_image` is told how many are done.
    """
    order = sorted(range(len(images)), key=lambda index: images[index].shape)
    found: dict[int, Prediction] = {}
    for shape, same in groupby(order, key=lambda index: images[index].shape):
        left = list(same)
        count = max(1, TOGETHER_PX // int(np.prod(shape)))
        while left:
            taken, left = left[:count], left[count:]
            started = time.perf_counter()
            labels = segment(np.stack([images[index] for index in taken]), model, engine=engine)
            seconds = (time.perf_counter() - started) / len(taken)
            found |= {index: Prediction(labels=one, seconds=seconds) for index, one in zip(taken, labels, strict=True)}
            on_image(len(found))
    return [found[index] for index in range(len(images))]


def figures(spec: ModelSpec, image: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return shift and scale, float32 `[C]`, with which a model sees an image `[C, H, W]`."""
    found = array_statistics(image) if spec.normalisation.scope is Scope.IMAGE else spec.normalisation
    return np.array(found.shift, np.float32), np.array(found.scale, np.float32)


def seen_names(spec: ModelSpec, names: Sequence[str]) -> tuple[dict[str, str], bool]:
    """Return which of the images `names` the model was trained on or chosen by: `train` or `validation`, by name.

    The second value tells whether that is all: a model names only the first images of a part that is large.
    """
    split = spec.training.get("split")
    found: dict[str, str] = {}
    is_all = True
    for part in ("validation", "train"):
        listed = split.get(part) if isinstance(split, dict) else None
        of_part = listed.get("names") if isinstance(listed, dict) else None
        known = set(map(str, of_part)) if isinstance(of_part, list) else set()
        found |= {name: part for name in names if name in known}
        is_all = is_all and bool(known) and listed["images"] == len(known)  # type: ignore[index]
    return found, is_all


def has_same_split(spec: ModelSpec, settings: DataConfig) -> bool:
    """Tell whether a model was trained with the split that these settings describe."""
    trained = spec.training.get("settings")
    data = trained.get("data") if isinstance(trained, dict) else None
    if not isinstance(data, dict):
        return False
    now = json.loads(json.dumps(asdict(settings)))
    return all(data.get(part) == now[part] for part in ("train", "validation", "test"))
