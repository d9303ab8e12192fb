"""`unetctl export`: a checkpoint in, an ONNX model out, compared with PyTorch before it is published."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli import output
from unetctl.cli.described import averaging_text
from unetctl.cli.engine_wish import ComputeCapability, EngineWish, Tile, Trt, TrtRtx, engine_wish
from unetctl.cli.export_int8 import exported_precision, int8_facts, make_int8, parse_scheme, show_int8
from unetctl.cli.export_trt import make_engines, onnx_to_build_from
from unetctl.cli.extras import needs_extra
from unetctl.cli.held_out import held_out_images
from unetctl.cli.progress import progress
from unetctl.cli.project import Choice, find_project, load_project, newest_checkpoint, with_data
from unetctl.cli.quantity import parse_names
from unetctl.cli.verdict_table import show_verdicts
from unetctl.cli.wording import bytes_text, command_text, path_text, time_text
from unetctl.runtime.errors import MissingInputError, OutputError, UnetctlError, UsageError
from unetctl.runtime.precision import Precision, model_file_name

if TYPE_CHECKING:
    from unetctl.exporter.compare import ComparisonRow
    from unetctl.exporter.export import ExportResult
    from unetctl.runtime.spec import ModelSpec
    from unetctl.trainer.config import Config

OUTPUTS = ("labels", "probabilities")


def export(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            metavar="FILE",
            help="Checkpoint; default: that of the newest complete run. For --trt and --trt-rtx a model (.onnx) too.",
        ),
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Model to make; default: models/<name>.onnx, or <name>.tta.onnx."
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Settings; default: unetctl.toml of this project."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", metavar="FOLDER", help="Folder with images/ and labels/, as for train."),
    ] = None,
    outputs: Annotated[
        str, typer.Option(metavar="LIST", help="What the model gives: labels, or labels,probabilities.")
    ] = "labels",
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Let the model average over the 8 rotations and mirror images of a tile: 8 passes."),
    ] = False,
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="What the network computes in: fp32, fp16 for GPUs, or int8.")
    ] = Precision.FP32.value,
    for_engine: Annotated[
        str, typer.Option("--for", metavar="NAME", help="With int8: cpu, or tensorrt, which needs another graph.")
    ] = "",
    trt: Trt = False,
    trt_rtx: TrtRtx = False,
    tile: Tile = None,
    compute_capability: ComputeCapability = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing model.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the model only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an ONNX model of a trained network.

    It is compared with PyTorch on every engine of this machine, and published only if the labels are the same but for
    ties within rounding. Engines are built from it, and tried in the same way where a GPU can run them.
    """
    wanted = parse_names(outputs, OUTPUTS, option="--outputs")
    wish = engine_wish(trt, trt_rtx, tile, compute_capability)
    computes_in = exported_precision(precision)
    is_for_tensorrt = parse_scheme(for_engine, computes_in)
    silent = quiet or as_json
    if wish and (onnx := onnx_to_build_from(model)):
        if output_path or tta or wanted != ("labels",) or computes_in is not Precision.FP32:
            raise UsageError(
                f"{path_text(onnx)} is exported already",
                hint="no --output, --outputs, --tta, --precision with a model: they are for a checkpoint",
            )
        make_engines(onnx, wish, facts={"path": str(onnx)}, overwrite=overwrite, quiet=quiet, as_json=as_json)
        return
    config = with_data(load_project(config_file), data) if config_file or find_project() else None
    choice = _checkpoint(model, config)
    with needs_extra("export", "exporting"):
        from unetctl.exporter.export import export_model
        from unetctl.exporter.project_tiles import labelled_tiles
        from unetctl.trainer.checkpoint import read_spec

        spec = read_spec(choice.path)
        file = model_file_name(spec.name, computes_in, averages=tta, for_tensorrt=is_for_tensorrt)
        target = output_path or _default_folder(choice.path, config) / file
        _refuse_target(target, choice.path, spec, wish, overwrite=overwrite)
        if not silent:
            output.notice(f"checkpoint: {path_text(choice.path)}{f' ({choice.reason})' if choice.reason else ''}")
        if computes_in is Precision.INT8:
            int8 = make_int8(
                choice.path, target, config, wanted, averages=tta, for_tensorrt=is_for_tensorrt, silent=silent
            )
            facts = int8_facts(int8, choice.path)
            if not silent:
                show_int8(int8)
        else:
            images, why_none = held_out_images(config, spec) if config else ([], "this is no project")
            if why_none and not silent:
                output.notice(f"notice: compared on golden tiles only: {why_none}")
            with progress("exporting", quiet=silent) as update:
                result = export_model(
                    choice.path,
                    target,
                    outputs=wanted,
                    averaging=tta,
                    precision=computes_in,
                    images=images,
                    labelled=partial(labelled_tiles, config) if config else None,
                    on_step=lambda text: update(0, 0, title=text),
                )
            facts = _facts(result, choice.path)
            if not silent:
                _show(result)
    if quiet and not as_json:
        output.result(str(target))
    if wish:
        make_engines(target, wish, facts=facts, overwrite=overwrite, quiet=quiet, as_json=as_json)
    elif as_json:
        output.result_json(facts)
    elif not quiet:
        named = ["--precision", computes_in] if computes_in is Precision.INT8 else []
        named += ["--engine", "tensorrt"] if is_for_tensorrt else []
        output.next_command("unetctl", "segment", "your_image.tif", *named)


def _checkpoint(model: Path | None, config: Config | None) -> Choice:
    if model is not None:
        return Choice(path=model, reason="")
    if config is None:
        raise MissingInputError(
            "there is no checkpoint: this is no project", hint="--model model.safetensors, or go into a project folder"
        )
    return newest_checkpoint(config)


def _default_folder(checkpoint: Path, config: Config | None) -> Path:
    """Return the project's models/, or outside a project the folder of the checkpoint."""
    return config.folder / "models" if config else checkpoint.parent


def _refuse_target(
    target: Path, checkpoint: Path, spec: ModelSpec, wish: EngineWish | None, *, overwrite: bool
) -> None:
    """Raise `UsageError` for a path that cannot be written, and `OutputError` for a model that would be replaced."""
    if target.is_dir() or (target.exists() and target.samefile(checkpoint)):
        what = "a folder" if target.is_dir() else "the checkpoint itself"
        raise UsageError(f"--output {path_text(target)} is {what}", hint="give the path of an .onnx file")
    if target.exists() and not overwrite:
        as_it_is = command_text("unetctl", "export", "--model", target, wish.option) if wish else ""
        raise OutputError(
            f"{path_text(target)} exists",
            cause=_held_by(target, spec),
            hint="--overwrite replaces it, --output FILE makes another"
            + (f"; for engines of it as it is: {as_it_is}" if as_it_is else ""),
        )


def _held_by(target: Path, spec: ModelSpec) -> str:
    """Say what an existing model is, so that it can be seen whether it is worth keeping."""
    from unetctl.runtime.model import read_model_spec

    try:
        held, record = read_model_spec(target)
    except UnetctlError:
        return "it is no model of unetctl"
    same = "the same" if held.weights_sha256 == spec.weights_sha256 else "another"
    return f"it was exported {time_text(record.created)} from {same} checkpoint, trained {time_text(held.created)}"


def _facts(result: ExportResult, checkpoint: Path) -> dict[str, Any]:
    """Return what a script is told."""
    rows = [one.to_json() for one in result.rows]
    record = json.loads(result.record.to_json())
    return {
        "path": str(result.path),
        "checkpoint": str(checkpoint),
        "record": record,
        "rows": rows,
        "verdicts": [one.to_json() for one in result.verdicts],
    }


def _show(result: ExportResult) -> None:
    output.heading(path_text(result.path))
    output.pairs(
        [
            ("gives", " and ".join(result.record.outputs)),
            ("computes in", result.record.precision),
            ("averages", averaging_text(result.record.averaging)),
            ("size", bytes_text(result.path.stat().st_size)),
        ]
    )
    output.heading("compared with PyTorch")
    headers = ("engine", "tiles", "logits differ by", "allowed", "other labels")
    output.table(headers, [_row(one) for one in result.rows])
    if any(one.agreement.flips for one in result.rows):
        output.result("  Labels differ only where two classes are equal within rounding.")
    show_verdicts(result.verdicts)


def _row(row: ComparisonRow) -> tuple[str, ...]:
    return (
        row.engine,
        f"{row.tiles} {row.images}",
        f"{row.logit_difference:.1e}" if row.logit_difference else "0",
        f"{row.tolerance:.1e}",
        f"{row.agreement.flips:,} of {row.agreement.pixels:,}",
    )
