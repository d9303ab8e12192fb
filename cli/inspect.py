"""`unetctl inspect`: what a file is, by its content, and the command that makes it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli import output
from unetctl.cli.described import Rows, engine_rows, record_rows, result_rows, spec_rows
from unetctl.cli.engine_models import is_engine_file
from unetctl.cli.models import as_typed, is_checkpoint, model_path
from unetctl.cli.wording import bytes_text, command_text, counted, path_text, safe_text, size_text
from unetctl.runtime.builtin import builtin_card, builtin_name
from unetctl.runtime.tensorrt_library import TENSORRT_RTX

if TYPE_CHECKING:
    from unetctl.runtime.image import ImageInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file is."""

    kind: str
    """`checkpoint`, `model`, `engine`, `result`, `image`, or `run`: the folder of one that was stopped"""
    title: str
    facts: dict[str, Any]
    """Plain values for `--json`."""
    rows: Rows
    """The same for people, the most important of it."""
    command: str = ""
    """What makes the file again."""
    then: tuple[str | Path, ...] = field(default=())
    """What to do with it."""


def inspect(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A model, a checkpoint, an engine, an image, a result or a stopped run of unetctl, or nuclei.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a file is, and how to make it again."""
    path = model_path(file)
    if path.is_dir() and path.suffix == ".run":
        found = _stopped_run(path)
    elif is_engine_file(path):
        found = _engine(path)
    elif is_checkpoint(path):
        found = _checkpoint(path)
    elif _is_model(path):
        found = _model(path)
    else:
        found = _image(path)
    if as_json:
        output.result_json({"path": str(path), "kind": found.kind, "command": found.command, **found.facts})
        return
    files = path.iterdir() if path.is_dir() else [path]
    output.heading(
        f"{path_text(as_typed(path))}: {found.title}, {bytes_text(sum(one.stat().st_size for one in files))}"
    )
    output.pairs(found.rows)
    if found.command:
        output.result(f"made by: {safe_text(found.command)}")
    if found.then:
        output.next_command(*found.then)


def _is_model(file: Path) -> bool:
    """Tell whether a file is meant to be ONNX: by its name, or by the field that every ONNX file starts with."""
    with file.open("rb") as opened:
        return file.suffix.lower() == ".onnx" or opened.read(1) == b"\x08"


def _checkpoint(file: Path) -> Found:
    from unetctl.trainer.checkpoint import read_spec

    spec = read_spec(file)
    rows = spec_rows(spec)
    settings = file.with_name("config.toml")
    if settings.exists():
        rows.append(("settings", path_text(settings)))
    command = ["unetctl", "train"]
    for key in ("steps", "seed"):
        command += [f"--{key}", str(spec.training[key])] if key in spec.training else []
    return Found(
        kind="checkpoint",
        title="a checkpoint",
        facts={"spec": json.loads(spec.to_json())},
        rows=rows,
        command=command_text(*command),
        then=("unetctl", "export", "--model", file),
    )


def _model(file: Path) -> Found:
    from unetctl.runtime.model import read_model
    from unetctl.runtime.precision_choice import is_for_tensorrt

    model = read_model(file)
    name = builtin_name(file)
    run = model.spec.training.get("run")
    command = ["unetctl", "export"]
    command += ["--model", f"runs/{run}/model.safetensors"] if run else []
    command += ["--outputs", ",".join(model.record.outputs)] if model.record.outputs != ("labels",) else []
    command += ["--tta"] if model.record.averaging > 1 else []
    command += ["--precision", model.record.precision] if model.record.precision != "fp32" else []
    command += ["--for", "tensorrt"] if is_for_tensorrt(model.record) else []
    return Found(
        kind="model",
        title="a built-in model" if name else "a model",
        facts={
            "spec": json.loads(model.spec.to_json()),
            "record": json.loads(model.record.to_json()),
            "golden_tiles": len(model.golden),
            "sha256": model.sha256,
            **({"card": str(builtin_card(name))} if name else {}),
        },
        rows=[
            *spec_rows(model.spec),
            *record_rows(model.record),
            ("carries", counted(len(model.golden), "golden tile")),
            ("sha256", model.sha256),
            ("card", path_text(builtin_card(name)) if name else ""),
        ],
        command="" if name else command_text(*command),
        then=("unetctl", "segment", "your_image.tif", "--model", name) if name else ("unetctl", "check", file),
    )


def _engine(file: Path) -> Found:
    from unetctl.runtime.engine_file import read_engine_file

    engine = read_engine_file(file)
    record = engine.record
    facts = json.loads(record.to_json(()))
    facts.pop("golden")
    is_rtx = record.kind == TENSORRT_RTX
    command = ["unetctl", "export", "--model", "MODEL.onnx", "--trt-rtx" if is_rtx else "--trt"]
    command += ["--tile", str(record.kept_yx[0])]
    if is_rtx and record.compute_capabilities:
        command += ["--compute-capability", ",".join(map(str, record.compute_capabilities))]
    return Found(
        kind="engine",
        title=f"an engine for {record.kind}",
        facts={"engine": facts, "golden_tiles": len(engine.golden)},
        rows=[
            *spec_rows(record.spec),
            *record_rows(record.export),
            *engine_rows(record),
            ("carries", counted(len(engine.golden), "golden tile")),
            ("sha256", record.plan_sha256),
            ("of the model", record.onnx_sha256),
        ],
        command=command_text(*command),
        then=("unetctl", "check", file),
    )


def _stopped_run(folder: Path) -> Found:
    from unetctl.runtime.continuation import whole_batches
    from unetctl.runtime.run_record import read_record

    record = read_record(folder)
    identity, tiles = asdict(record.identity), whole_batches(folder, record).tiles_there(record.tiles)
    return Found(
        kind="run",
        title="a stopped run",
        facts={"tiles": tiles, "total_tiles": record.total_tiles, "identity": identity},
        rows=[
            ("done", f"{tiles:,} of {counted(record.total_tiles, 'tile')}"),
            *((name, safe_text(str(identity[name]))) for name in ("image", "model", "engine", "precision")),
        ],
        command=record.command,
    )


def _image(file: Path) -> Found:
    from unetctl.runtime.image import open_image

    source = open_image(file)
    info = source.info
    source.close()
    facts = {"image": {key: value for key, value in asdict(info).items() if key not in ("path", "made_by")}}
    if info.made_by is None:
        return Found(
            kind="image",
            title=f"an image ({info.format})",
            facts=facts,
            rows=_image_rows(info),
            then=("unetctl", "segment", file),
        )
    made = _provenance(info.made_by)
    return Found(
        kind="result",
        title="a label image that unetctl made",
        facts={**facts, "result": made},
        rows=[*_image_rows(info), *result_rows(made)],
        command=str(made.get("command", "")),
    )


def _image_rows(info: ImageInfo) -> Rows:
    planes = " x ".join(f"{axis} {count}" for axis, count in info.plane_axes)
    names = ", ".join(safe_text(one) for one in info.channel_names)
    return [
        ("pixels", size_text((info.height, info.width))),
        ("planes", f"{info.planes:,} ({planes})" if planes else ""),
        ("channels", f"{info.channels} ({names}), {info.dtype}"),
        ("pixel size", f"{info.pixel_size_um:g} µm" if info.pixel_size_um else ""),
        ("stored in", f"pieces of {size_text(info.chunk_yx)}" if info.chunk_bytes else ""),
    ]


def _provenance(text: str) -> dict[str, Any]:
    """Return what a result says of itself; it is a file from anywhere, so it may say nothing sensible."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
