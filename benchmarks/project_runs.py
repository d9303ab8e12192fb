"""Projects and runs for benchmarks: a toml, and `unetctl train` typed in its folder once for every seed.

FOLDER/<project>/
    unetctl.toml              written once; a folder with another one is refused
    runs/seed0/               the run of seed 0
    seed0.json                its command and wall-clock time; a run that has it is not trained again

So a benchmark that was stopped is continued by typing it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.demo import type_command
from unetctl.runtime.system import write_atomically

Sections = Mapping[str, Mapping[str, Any]]
"""What a toml says: section, key and value; `classes` are apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A complete run of `unetctl train`."""

    model: Path
    metrics: dict[str, Any]
    command: str
    wall_seconds: float
    """From typing the command to its end: start, data and the scores at the end included."""


def merged(*parts: Sections) -> dict[str, dict[str, Any]]:
    """Return the sections of all parts; a later part has the last word on a key."""
    result: dict[str, dict[str, Any]] = {}
    for part in parts:
        for section, keys in part.items():
            result[section] = {**result.get(section, {}), **keys}
    return result


def toml_text(sections: Sections, classes: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a `unetctl.toml`; strings, numbers, truth values and lists are written alike in JSON and TOML."""
    blocks = [f"[{name}]\n{_keys(keys)}" for name, keys in sections.items()]
    blocks += [f"[[classes]]\n{_keys(one)}" for one in classes]
    return "\n".join(blocks)


def _keys(keys: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def make_project(folder: Path, sections: Sections, classes: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the toml of a project, or see that it is the same as before: figures of two recipes must not be mixed."""
    toml, text = folder / "unetctl.toml", toml_text(sections, classes)
    if toml.exists() and toml.read_text(encoding="utf-8") != text:
        sys.exit(f"{toml} holds other settings: give another folder, or remove that one")
    folder.mkdir(parents=True, exist_ok=True)
    toml.write_text(text, encoding="utf-8")


def train_once(project: Path, *, seed: int) -> Run:
    """Type `unetctl train` for a seed, unless that run is complete already."""
    name = f"seed{seed}"
    words = ("train", "--run", name, "--seed", str(seed))
    record = project / f"{name}.json"
    if not record.exists():
        started = time.monotonic()
        type_command(*words, folder=project)
        known = {
            "command": f"cd {project.name} && unetctl {' '.join(words)}",
            "wall_seconds": round(time.monotonic() - started, 1),
        }
        write_atomically(record, (json.dumps(known) + "\n").encode())
    run = project / "runs" / name
    known = json.loads(record.read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return Run(model=run / "model.safetensors", metrics=metrics, **known)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark has that trains; what is not given is the default of `unetctl train`."""
    parser.add_argument("folder", type=Path, help="where projects, figures and pictures go; continued if it is there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N")
    parser.add_argument("--base-channels", type=int, metavar="N", help="[network] base_channels")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="any other key of unetctl.toml; several times",
    )


def chosen_settings(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the sections that the options of `add_training_options` and `--steps`, where there is one, ask for."""
    sections: dict[str, dict[str, Any]] = {}
    if arguments.base_channels is not None:
        sections["network"] = {"base_channels": arguments.base_channels}
    if getattr(arguments, "steps", None) is not None:
        sections["train"] = {"steps": arguments.steps}
    for item in arguments.set:
        name, _, value = item.partition("=")
        section, _, key = name.partition(".")
        if not (section and key and value):
            sys.exit(f"--set {item}: write it as train.batch=2")
        sections = merged(sections, {section: {key: _value(value)}})
    return sections


def _value(text: str) -> Any:
    """Return what `text` means in a toml; a word that is none of its values is a string without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
