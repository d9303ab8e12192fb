"""Recipes by name: what the keys that `unetctl.toml` does not give are taken to be.

`best` is the defaults of `unetctl.trainer.settings`: the paper's network and augmentation with what practice has added
since. `paper` is section 3 of Ronneberger, Fischer and Brox (2015) and nothing else; where the paper gives no figure
(rate, steps, decay), it is what converged on the paper's own data. Decision record 0006 goes through the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "best": {},
    "paper": {
        "network": {"depth": 4, "base_channels": 64, "dropout": 0.5},
        "train": {
            "steps": 10000,
            "batch": 1,  # "we favor large input tiles over a large batch size"
            "optimizer": "sgd",  # with a momentum of 0.99
            "schedule": "constant",
            "weight_decay": 0.0,
            "tile": "image",
            "foreground": 0.0,
            "average": 0.0,
            "clip_norm": 0.0,
            "border_weight": 10.0,  # w0
            "border_sigma": 5.0,
            "class_balance": True,  # w_c
        },
        "augment": {"elastic_px": 10.0, "rotation_deg": 180.0, "flips": False, "blur_px": 0.0},
    },
}


def with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a toml with the keys of its preset below them; what is no table or preset stays as it is."""
    train = values.get("train")
    chosen = PRESETS.get(str(train.get("preset")), {}) if isinstance(train, dict) else {}
    merged = dict(values)
    for section, keys in chosen.items():
        given = values.get(section, {})
        merged[section] = {**keys, **given} if isinstance(given, dict) else given
    return merged
