"""A finished run in memory: what the report, the advice and the model card are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetctl.runtime.spec import ClassInfo, ModelSpec, Normalisation, PixelType, Scope
from unetctl.trainer.config import Config
from unetctl.trainer.history import History
from unetctl.trainer.resume import settings_of
from unetctl.trainer.settings import NetworkConfig, TrainConfig


def finished_spec(names: tuple[str, ...] = ("ground", "cell"), *, size_um: float | None = 0.5) -> ModelSpec:
    colours = ("#000000", "#e69f00", "#f0e442")
    return ModelSpec(
        name="discs",
        depth=1,
        base_channels=4,
        channels=("gray",),
        pixel_type=PixelType.UINT8,
        normalisation=Normalisation(scope=Scope.MODEL, shift=(100.0,), scale=(0.02,)),
        classes=tuple(ClassInfo(name=one, colour=colour) for one, colour in zip(names, colours, strict=False)),
        pixel_size_um=size_um,
        weights_sha256="a" * 64,
        created="2026-11-20T11:11:19.825+00:00",
    )


def finished_scores(dice: dict[str, float | None], *, mean: float = 0.8) -> dict[str, Any]:
    """Return scores as `Scores.to_dict` does, with a confusion matrix of which a tenth is wrong."""
    count = len(dice)
    confusion = [[90 if row == column else 10 // (count - 1) for column in range(count)] for row in range(count)]
    return {
        "loss": 0.3,
        "pixel_error": 0.1,
        "mean_dice": mean,
        "dice": dice,
        "iou": {name: None if one is None else one / (2 - one) for name, one in dice.items()},
        "confusion": confusion,
    }


def finished_metrics(names: tuple[str, ...] = ("ground", "cell")) -> dict[str, Any]:
    """Return what `metrics.json` of a run without anything remarkable holds."""
    config = Config(
        path=Path("unetctl.toml"),
        name="discs",
        network=NetworkConfig(depth=1),
        train=TrainConfig(steps=400, learning_rate=0.01),
    )
    scores: dict[str, float | None] = {name: 0.9 - 0.1 * index for index, name in enumerate(names)}
    return {
        "name": "discs",
        "created": "2026-11-20T11:11:19.825+00:00",
        "validation": finished_scores(scores),
        "test": finished_scores(scores, mean=0.79),
        "run": "first",
        "seed": 0,
        "settings": settings_of(config),
        "split": {
            part: {"images": count, "names": [f"{part}{index}" for index in range(count)]}
            for part, count in (("train", 12), ("validation", 6), ("test", 7))
        },
        "class_pixels": [9000, 800, 200][: len(names)],
        "data_sha256": "b" * 64,
        "machine": "a processor, 2 cores",
        "processes": 1,
        "precision": "fp32",
        "versions": {"python": "3.11.7", "unetctl": "0.1.0", "torch": "2.13.0"},
        "complete": True,
        "steps": 400,
        "best_step": 300,
        "seconds": 130.0,
        "speed": {"steps_per_second": 3.0, "samples_per_second": 30.0},
        "notices": [],
    }


def finished_history(names: tuple[str, ...] = ("ground", "cell")) -> History:
    """Return a course that falls and levels out: 400 steps, validated every 50, best at 300."""
    history = History(class_names=names)
    history.losses += [(step, 0.2 + 1 / step, 0.01) for step in range(1, 401)]
    for step in range(50, 401, 50):
        dice = 0.8 - abs(step - 300) / 5000
        history.scores[step] = (0.3 + 5 / step, dice, 0.1, *(dice for _ in names))
    return history
