"""`unetctl inspect`: what a file is, by its content, and the command that makes it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli import output
from unetctl.cli.models import is_checkpoint
from unetctl.cli.wording import bytes_text, command_text, counted, path_text, safe_text, size_text, time_text

if TYPE_CHECKING:
    from unetctl.runtime.image import ImageInfo
    from unetctl.runtime.spec import ModelSpec

Rows = list[tuple[str, str]]


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A model, a checkpoint, an image, or a result of unetctl.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a file is, and how to make it again."""
    if is_checkpoint(file):
        facts, rows = _checkpoint(file)
    elif _is_model(file):
        facts, rows = _model(file)
    else:
        facts, rows = _image(file)
    if as_json:
        output.result_json({"path": str(file), **facts})
        return
    output.heading(f"{path_text(file)}: {facts['title']}")
    output.pairs([*rows, ("size", bytes_text(file.stat().st_size))])
    if facts["command"]:
        output.result(f"made by: {safe_text(facts['command'])}")
    if facts["next"]:
        output.next_command(*facts["next"])


def _is_model(file: Path) -> bool:
    """Tell whether a file is meant to be ONNX: by its name, or by the field that every ONNX file starts with."""
    with file.open("rb") as opened:
        return file.suffix.lower() == ".onnx" or opened.read(1) == b"\x08"


def _checkpoint(file: Path) -> tuple[dict[str, Any], Rows]:
    from unetctl.trainer.checkpoint import read_spec

    spec = read_spec(file)
    facts = {
        "kind": "checkpoint",
        "title": "a checkpoint",
        "spec": json.loads(spec.to_json()),
        "command": str(spec.training.get("command", "")),
        "next": ("unetctl", "export", "--model", file),
    }
    return facts, _spec_rows(spec)


def _model(file: Path) -> tuple[dict[str, Any], Rows]:
    from unetctl.runtime.model import read_model

    model = read_model(file)
    record = model.record
    rows = [
        *_spec_rows(model.spec),
        ("exported", f"{time_text(record.created)}, {record.precision}, with {' and '.join(record.outputs)}"),
        ("made with", ", ".join(f"{name} {one}" for name, one in sorted(record.versions.items()))),
        ("compared", _flat(record.comparison)),
        ("golden tiles", str(len(model.golden))),
        ("sha256", model.sha256),
    ]
    run = model.spec.training.get("run")
    command = ["unetctl", "export"]
    command += ["--model", f"runs/{run}/model.safetensors"] if run else []
    command += ["--outputs", ",".join(record.outputs)] if record.outputs != ("labels",) else []
    facts = {
        "kind": "model",
        "title": "a model",
        "spec": json.loads(model.spec.to_json()),
        "record": json.loads(record.to_json()),
        "sha256": model.sha256,
        "command": command_text(*command),
        "next": ("unetctl", "check", file),
    }
    return facts, rows


def _image(file: Path) -> tuple[dict[str, Any], Rows]:
    from unetctl.runtime.image import open_image

    source = open_image(file)
    info = source.info
    source.close()
    facts: dict[str, Any] = {
        "kind": "image",
        "title": f"an image ({info.format})",
        "image": {key: value for key, value in asdict(info).items() if key not in ("path", "made_by")},
        "command": "",
        "next": ("unetctl", "segment", file),
    }
    rows = _image_rows(info)
    if info.made_by is not None:
        made = _provenance(info.made_by)
        facts |= {
            "kind": "result",
            "title": "a label image that unetctl made",
            "result": made,
            "command": str(made.get("command", "")),
            "next": (),
        }
        rows += [(safe_text(str(key)), _flat(value)) for key, value in made.items() if key != "command"]
    return facts, rows


def _image_rows(info: ImageInfo) -> Rows:
    planes = " x ".join(f"{axis} {count}" for axis, count in info.plane_axes)
    names = ", ".join(safe_text(one) for one in info.channel_names)
    return [
        ("pixels", size_text((info.height, info.width))),
        ("planes", f"{counted(info.planes, 'plane')} ({planes})" if planes else ""),
        ("channels", f"{info.channels} ({names}), {info.dtype}"),
        ("pixel size", f"{info.pixel_size_um:g} µm" if info.pixel_size_um else ""),
        ("stored in", f"pieces of {size_text(info.chunk_yx)}" if info.chunk_bytes else ""),
    ]


def _spec_rows(spec: ModelSpec) -> Rows:
    by = "constants of its training pixels" if spec.normalisation.scope == "model" else "each plane's mean and spread"
    classes = (f"{index} {one.name}" for index, one in enumerate(spec.classes))
    return [
        ("name", safe_text(spec.name)),
        ("network", f"U-Net of 2015, depth {spec.depth}, {spec.base_channels} channels at the first level"),
        ("takes", f"{counted(len(spec.channels), 'channel')} ({', '.join(spec.channels)}), {spec.pixel_type}"),
        ("normalises", f"by {by}"),
        ("gives", safe_text(", ".join(classes))),
        ("pixel size", f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else ""),
        ("trained", time_text(spec.created)),
        *((safe_text(str(key)), _flat(value)) for key, value in spec.training.items() if key != "command"),
        ("weights", spec.weights_sha256),
    ]


def _provenance(text: str) -> dict[str, Any]:
    """Return what a result says of itself; it is a file from anywhere, so it may say nothing sensible."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _flat(value: Any) -> str:
    """Return plain JSON values in one line for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_flat(one) for one in value)
    return safe_text(f"{value:.4g}" if isinstance(value, float) else str(value))
