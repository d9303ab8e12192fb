"""All that a run needs to be continued, in one file: `resume.safetensors`.

    tensors    network.<name>, optimizer.<parameter>.<name>
    header     step, seconds, best step and score, the settings, the fingerprint of the data

One file, because two could be of different steps after a crash. What is random follows from the seed and the step, so
no generator's state is kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.system import write_atomically
from unetctl.trainer.config import Config
from unetctl.trainer.network import UNet

STATE_KEY = "unetctl.training_state"


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_score: float = -1.0
    """Mean Dice of the best validation."""


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that decide what is computed, as plain JSON values: no paths and no names of models."""
    sections = {name: asdict(getattr(config, name)) for name in ("data", "network", "train", "augment")}
    sections["data"] = {key: value for key, value in sections["data"].items() if key not in ("images", "labels")}
    plain: dict[str, Any] = json.loads(json.dumps({**sections, "classes": [asdict(one) for one in config.classes]}))
    return plain


def save_state(
    path: Path, state: TrainingState, network: UNet, optimizer: torch.optim.Optimizer, config: Config, fingerprint: str
) -> None:
    """Write everything atomically."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items() if value is not None}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {"state": asdict(state), "settings": settings_of(config), "data": fingerprint}
    write_atomically(path, save(tensors, metadata={STATE_KEY: json.dumps(header)}))


def load_state(
    path: Path, network: UNet, optimizer: torch.optim.Optimizer, config: Config, fingerprint: str
) -> TrainingState:
    """Put a saved run's weights into `network` and `optimizer`, and return where it stands.

    Raises `UsageError` if the settings or the data are not those of the run, and `DataError` if the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = TrainingState(**header["state"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be continued", cause=str(error), hint="train anew, under another --run"
        ) from error
    _check_same(path, header, config, fingerprint)
    network.load_state_dict({name[8:]: value for name, value in tensors.items() if name.startswith("network.")})
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            slots.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    return state


def _check_same(path: Path, header: dict[str, Any], config: Config, fingerprint: str) -> None:
    then, now = _flat(header["settings"]), _flat(settings_of(config))
    if changed := sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key)):
        raise UsageError(
            f"{path.parent.name} was trained with other settings: {', '.join(changed)}",
            cause="a continued run must be the run that would have been, had nothing stopped it",
            hint="put the settings back (config.toml beside it has them), or train anew without --resume",
        )
    if header["data"] != fingerprint:
        raise UsageError(
            f"{path.parent.name} was trained on other data",
            cause="an image, a label or the split has changed since",
            hint="put the data back, or train anew without --resume",
        )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Name every setting as the toml does: `[train] steps`."""
    found: dict[str, Any] = {}
    for section, values in settings.items():
        if isinstance(values, dict):
            found |= {f"[{section}] {key}": value for key, value in values.items()}
        else:
            found[f"[[{section}]]"] = values
    return found
