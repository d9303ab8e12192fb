"""`unetctl export --precision int8`: what it needs, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetctl.cli import output
from unetctl.cli.described import averaging_text
from unetctl.cli.progress import progress
from unetctl.cli.verdict_table import show_verdicts
from unetctl.cli.wording import bytes_text, path_text, safe_text
from unetctl.runtime.errors import MissingInputError, UsageError
from unetctl.runtime.precision import GRAPHS, Precision

if TYPE_CHECKING:
    from unetctl.exporter.export_int8 import Int8Result
    from unetctl.trainer.config import Config


def exported_precision(text: str) -> Precision:
    """Return what a model can be exported in. Raises `UsageError`."""
    if text == Precision.BF16:
        raise UsageError(
            "bf16 is no model of its own",
            cause="engines run the fp32 model in bf16, and its export compares that too",
            hint="unetctl export, then unetctl segment",
        )
    if text not in GRAPHS:
        raise UsageError(f"there is no --precision {text}", hint=f"--precision {', '.join(GRAPHS)}")
    return Precision(text)


def parse_scheme(text: str, precision: Precision) -> bool:
    """Return whether an int8 graph is for TensorRT. Raises `UsageError` for another name, or another precision."""
    if text and precision is not Precision.INT8:
        raise UsageError("--for is for --precision int8", hint="the other models are the same for every engine")
    if text not in ("", "cpu", "tensorrt"):
        raise UsageError(f"there is no int8 graph for {text}", hint="--for cpu, or --for tensorrt")
    return text == "tensorrt"


def make_int8(
    checkpoint: Path,
    target: Path,
    config: Config | None,
    outputs: tuple[str, ...],
    *,
    averages: bool,
    for_tensorrt: bool,
    silent: bool,
) -> Int8Result:
    """Quantise a checkpoint with the project's images. Raises `MissingInputError` outside a project."""
    from unetctl.exporter.export_int8 import export_int8
    from unetctl.exporter.quantise import Scheme

    if config is None:
        raise MissingInputError(
            "int8 is calibrated on training images, and this is no project",
            hint="go into the project that the checkpoint was trained in, or name its --config",
        )
    with progress("exporting", quiet=silent) as update:
        return export_int8(
            checkpoint,
            target,
            config=config,
            outputs=outputs,
            averaging=averages,
            scheme=Scheme.TENSORRT if for_tensorrt else Scheme.CPU,
            on_step=lambda text: update(0, 0, title=text),
        )


def int8_facts(result: Int8Result, checkpoint: Path) -> dict[str, Any]:
    """Return what a script is told."""
    record = json.loads(result.record.to_json())
    return {
        "path": str(result.path),
        "checkpoint": str(checkpoint),
        "record": record,
        "rows": record["comparison"]["rows"],
        "verdicts": [one.to_json() for one in result.verdicts],
    }


def show_int8(result: Int8Result) -> None:
    """Print what was made, how its labels compare, and which layers stayed in fp32."""
    output.heading(path_text(result.path))
    output.pairs(
        [
            ("gives", " and ".join(result.record.outputs)),
            ("computes in", f"int8 in {result.layers - len(result.kept)} of {result.layers} layers, the last in fp32"),
            ("averages", averaging_text(result.record.averaging)),
            ("size", bytes_text(result.path.stat().st_size)),
        ]
    )
    show_verdicts(result.verdicts)
    if result.kept:
        output.heading("layers kept in fp32, because they lose the most in 8 bits")
        output.table(("layer", "error of the logits"), [(safe_text(name), f"{loss:.2e}") for name, loss in result.kept])
