"""All that a run needs to be continued, in one file: `resume.safetensors`.

    tensors    network.<name>, average.<name>, optimizer.<parameter>.<name>
    header     step, seconds, best step and score, the settings, the fingerprint of the data

One file, because two could be of different steps after a crash. What is random follows from the seed and the step, so
no generator's state is kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.system import write_atomically
from unetctl.trainer.config import Config
from unetctl.trainer.job import Job
from unetctl.trainer.step import Stepper

STATE_KEY = "unetctl.training_state"


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_score: float = -1.0
    """Mean Dice of the best validation."""
    validations_since_best: int = 0


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that decide what is computed, as plain JSON values: no paths and no names of models."""
    sections = {name: asdict(getattr(config, name)) for name in ("data", "network", "train", "augment")}
    sections["data"] = {key: value for key, value in sections["data"].items() if key not in ("images", "labels")}
    plain: dict[str, Any] = json.loads(json.dumps({**sections, "classes": [asdict(one) for one in config.classes]}))
    return plain


def save_state(job: Job, stepper: Stepper, state: TrainingState) -> None:
    """Write everything into the run's folder, atomically."""
    tensors = {f"network.{name}": value for name, value in stepper.network.state_dict().items()}
    if stepper.average.network is not stepper.network:
        tensors |= {f"average.{name}": value for name, value in stepper.average.network.state_dict().items()}
    for index, values in stepper.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items() if value is not None}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {"state": asdict(state), "settings": _settings(job), "data": job.dataset.fingerprint}
    write_atomically(job.folder.resume, save(tensors, metadata={STATE_KEY: json.dumps(header)}))


def load_state(job: Job, stepper: Stepper) -> TrainingState:
    """Put a saved run's weights into `stepper`, and return where the run stands.

    Raises `UsageError` if the settings or the data are not those of the run, and `DataError` if the file is damaged.
    """
    path = job.folder.resume
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = TrainingState(**header["state"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be continued", cause=str(error), hint="train anew, under another --run"
        ) from error
    _check_same(job, header)
    for prefix, network in (("network.", stepper.network), ("average.", stepper.average.network)):
        if held := {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}:
            network.load_state_dict(held)
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            slots.setdefault(int(index), {})[key] = value
    stepper.optimizer.load_state_dict({**stepper.optimizer.state_dict(), "state": slots})
    return state


def _settings(job: Job) -> dict[str, Any]:
    """Return what decides the course of a run: its settings, and how many processes share its steps."""
    return {**settings_of(job.config), "torchrun": {"processes": job.processes.count}}


def _check_same(job: Job, header: dict[str, Any]) -> None:
    path = job.folder.resume
    then, now = _flat(header["settings"]), _flat(_settings(job))
    if changed := sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key)):
        raise UsageError(
            f"{path.parent.name} was trained with other settings: {', '.join(changed)}",
            cause="a continued run must be the run that would have been, had nothing stopped it",
            hint="put the settings back (config.toml beside it has them), or train anew without --resume",
        )
    if header["data"] != job.dataset.fingerprint:
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
