"""`unetctl export`: a checkpoint in, an ONNX model out, compared with PyTorch before it is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unetctl.cli import output
from unetctl.cli.extras import needs_extra
from unetctl.cli.project import find_project, load_project, newest_checkpoint
from unetctl.cli.quantity import parse_names
from unetctl.cli.wording import bytes_text, path_text
from unetctl.runtime.errors import MissingInputError, OutputError, UnetctlError

if TYPE_CHECKING:
    from unetctl.exporter.export import ExportResult
    from unetctl.trainer.config import Config

OUTPUTS = ("labels", "probabilities")


def export(
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", metavar="FILE", help="Checkpoint; default: that of the newest complete run."),
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Model to make; default: models/<name>.onnx."),
    ] = None,
    outputs: Annotated[
        str, typer.Option(metavar="LIST", help="What the model gives: labels, or labels,probabilities.")
    ] = "labels",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing model.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the model only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an ONNX model of a trained network, compared with PyTorch.

    The model is published only if every engine of this machine gives PyTorch's labels, but for ties within rounding.
    """
    wanted = parse_names(outputs, OUTPUTS, option="--outputs")
