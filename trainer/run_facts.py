"""What the report and the model card both tell of a run, from its `metrics.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from unetctl.trainer.config import SECTIONS
from unetctl.trainer.settings import DEFAULT_LEARNING_RATE

PARTS = ("train", "validation", "test")


def settings_rows(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield the key of each setting, its value and its default as the toml writes them, and whether they differ."""
    for section, values in settings.items():
        if not isinstance(values, Mapping):  # the classes, which have no defaults
            continue
        defaults = json.loads(json.dumps(asdict(SECTIONS[section]())))
        if section == "train":
            defaults["learning_rate"] = DEFAULT_LEARNING_RATE[values["optimizer"]]
        for key, value in values.items():
            yield f"[{section}] {key}", written(value), written(defaults[key]), value != defaults[key]


def part_sizes(metrics: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of images of each part."""
    return {part: int(metrics["split"][part]["images"]) for part in PARTS}


def class_shares(metrics: Mapping[str, Any]) -> list[float]:
    """Return the part of the training pixels that each class has."""
    total = sum(metrics["class_pixels"]) or 1
    return [count / total for count in metrics["class_pixels"]]


def share_text(share: float) -> str:
    """Return a part of 1 as a percentage of two digits or more, as `0.34 %` or `87 %`."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def score_text(value: float | None) -> str:
    """Return a Dice or an IoU; a dash for a class that does not occur."""
    return "\u2013" if value is None else f"{value:.3f}"


def time_text(seconds: float) -> str:
    """Return a length of time in the unit that fits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, as `1 image` or `1,200 images`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def written(value: Any) -> str:
    """Return a setting as the toml writes it."""
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
