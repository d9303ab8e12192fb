"""What a trained model says of itself: its `ModelSpec`, and the run's `metrics.json`."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.checkpoint import weights_sha256
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset, Pair
from unetctl.trainer.machine import Machine
from unetctl.trainer.network import UNet
from unetctl.trainer.resume import settings_of

MAX_NAMES = 50
"""Names of images that a spec lists for each part; of more, it gives the first and the number."""


def make_spec(config: Config, dataset: Dataset, network: UNet, training: dict[str, Any]) -> ModelSpec:
    """Describe `network` and how it was trained."""
    return ModelSpec(
        name=config.name,
        depth=config.network.depth,
        base_channels=config.network.base_channels,
        channels=dataset.channel_names,
        pixel_type=dataset.pixel_type,
        normalisation=dataset.normalisation,
        classes=dataset.classes.classes,
        background=dataset.classes.background,
        pixel_size_um=dataset.pixel_size_um,
        weights_sha256=weights_sha256(network.state_dict()),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        training=training,
    )


def training_record(config: Config, dataset: Dataset, machine: Machine, run: str, processes: int) -> dict[str, Any]:
    """Return what is known before the first step, as plain JSON values."""
    settings = settings_of(config)
    settings["train"] |= {"learning_rate": config.train.peak_rate, "border_weight": config.border_weight}
    return {
        "run": run,
        "seed": config.train.seed,
        "optimizer": config.train.optimizer,
        "settings": settings,
        "split": {
            name: {"images": len(pairs), "names": _names(pairs)}
            for name, pairs in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
        },
        "class_pixels": dataset.class_pixels().tolist(),
        "data_sha256": dataset.fingerprint,
        "machine": machine.name,
        "processes": processes,
        "precision": "bf16" if machine.is_bf16 else "fp32",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in ("unetctl", "torch")}},
    }


def _names(pairs: Sequence[Pair]) -> list[str]:
    return [pair.name for pair in pairs[:MAX_NAMES]] + (["..."] if len(pairs) > MAX_NAMES else [])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
