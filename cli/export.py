"""`unetctl export`: a checkpoint in, an ONNX model out, compared with PyTorch before it is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unetctl.cli import output
from unetctl.cli.described import averaging_text
from unetctl.cli.extras import needs_extra
from unetctl.cli.held_out import held_out_images
from unetctl.cli.progress import progress
from unetctl.cli.project import Choice, find_project, load_project, newest_checkpoint, with_data
from unetctl.cli.quantity import parse_names
from unetctl.cli.wording import bytes_text, path_text, time_text
from unetctl.runtime.errors import MissingInputError, OutputError, UnetctlError, UsageError

if TYPE_CHECKING:
    from unetctl.exporter.compare import ComparisonRow
    from unetctl.exporter.export import ExportResult
    from unetctl.runtime.spec import ModelSpec
    from unetctl.trainer.config import Config

OUTPUTS = ("labels", "probabilities")


def export(
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", metavar="FILE", help="Checkpoint; default: that of the newest complete run."),
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing model.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the model only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an ONNX model of a trained network.

    It is compared with PyTorch on every engine of this machine, and published only if the labels are the same but for
    ties within rounding.
    """
    wanted = parse_names(outputs, OUTPUTS, option="--outputs")
    config = with_data(load_project(config_file), data) if config_file or find_project() else None
    choice = _checkpoint(model, config)
    with needs_extra("export", "exporting"):
        from unetctl.exporter.export import export_model
        from unetctl.trainer.checkpoint import read_spec

        spec = read_spec(choice.path)
        target = output_path or _default_output(choice.path, spec, config, tta=tta)
        if target.is_dir() or (target.exists() and target.samefile(choice.path)):
            what = "a folder" if target.is_dir() else "the checkpoint itself"
            raise UsageError(f"--output {path_text(target)} is {what}", hint="give the path of an .onnx file")
        if target.exists() and not overwrite:
            raise OutputError(
                f"{path_text(target)} exists",
                cause=_held_by(target, spec),
                hint="--overwrite replaces it, --output FILE makes another",
            )
        silent = quiet or as_json
        if not silent:
            output.notice(f"checkpoint: {path_text(choice.path)}{f' ({choice.reason})' if choice.reason else ''}")
        images, why_none = held_out_images(config, spec) if config else ([], "this is no project")
        if why_none and not silent:
            output.notice(f"notice: compared on golden tiles only: {why_none}")
        with progress("exporting", quiet=silent) as update:
            result = export_model(
                choice.path,
                target,
                outputs=wanted,
                averaging=tta,
                images=images,
                on_step=lambda text: update(0, 0, title=text),
            )
    if as_json:
        rows = [one.to_json() for one in result.rows]
        record = json.loads(result.record.to_json())
        output.result_json({"path": str(result.path), "checkpoint": str(choice.path), "record": record, "rows": rows})
    elif quiet:
        output.result(str(result.path))
    else:
        _show(result)


def _checkpoint(model: Path | None, config: Config | None) -> Choice:
    if model is not None:
        return Choice(path=model, reason="")
    if config is None:
        raise MissingInputError(
            "there is no checkpoint: this is no project", hint="--model model.safetensors, or go into a project folder"
        )
    return newest_checkpoint(config)


def _default_output(checkpoint: Path, spec: ModelSpec, config: Config | None, *, tta: bool) -> Path:
    """Return the project's models/<name>.onnx, or outside a project a file beside the checkpoint.

    An averaged model has another name, so that it does not replace the model that is eight times as fast.
    """
    folder = config.folder / "models" if config else checkpoint.parent
    return folder / f"{spec.name}{'.tta' if tta else ''}.onnx"


def _held_by(target: Path, spec: ModelSpec) -> str:
    """Say what an existing model is, so that it can be seen whether it is worth keeping."""
    from unetctl.runtime.model import read_model_spec

    try:
        held, record = read_model_spec(target)
    except UnetctlError:
        return "it is no model of unetctl"
    same = "the same" if held.weights_sha256 == spec.weights_sha256 else "another"
    return f"it was exported {time_text(record.created)} from {same} checkpoint, trained {time_text(held.created)}"


def _show(result: ExportResult) -> None:
    output.heading(path_text(result.path))
    output.pairs(
        [
            ("gives", " and ".join(result.record.outputs)),
            ("averages", averaging_text(result.record.averaging)),
            ("size", bytes_text(result.path.stat().st_size)),
        ]
    )
    output.heading("compared with PyTorch")
    headers = ("engine", "tiles", "logits differ by", "allowed", "other labels")
    output.table(headers, [_row(one) for one in result.rows])
    if any(one.agreement.flips for one in result.rows):
        output.result("  Labels differ only where two classes are equal within rounding.")
    output.next_command("unetctl", "segment", "your_image.tif")


def _row(row: ComparisonRow) -> tuple[str, ...]:
    return (
        row.engine,
        f"{row.tiles} {row.images}",
        f"{row.logit_difference:.1e}" if row.logit_difference else "0",
        f"{row.tolerance:.1e}",
        f"{row.agreement.flips:,} of {row.agreement.pixels:,}",
    )
