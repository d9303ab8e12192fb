"""From a checkpoint to a model file that may be trusted: trace, write, compare, strip, check, publish.

checkpoint -> graph with logits -> temporary file -> compared on every engine -> logits removed, records added
           -> the file as it will be -> read and checked as a user's machine will -> judged in bf16, if there is
           -> the verdicts added to the record -> renamed to its final path
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from unetctl.exporter.compare import ComparisonRow, Runner, compare, real_tiles, refuse_failures, torch_runner
from unetctl.exporter.judge import JudgedTile, JudgedTiles, hinted_verdicts
from unetctl.exporter.subject import Subject, read_subject
from unetctl.exporter.to_onnx import to_onnx
from unetctl.runtime.check import check_model
from unetctl.runtime.engines import engine_status, engines_at_once, open_engine, run_file
from unetctl.runtime.errors import CheckFailedError, UnavailableError
from unetctl.runtime.golden import GoldenTile, pack_golden
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.precision import RELATIVE_TOLERANCES, Precision
from unetctl.runtime.spec import EXPORT_KEY, GOLDEN_KEY, SPEC_KEY, ExportRecord
from unetctl.runtime.system import atomic_path
from unetctl.runtime.verdict import Verdict, with_verdicts

if TYPE_CHECKING:
    import onnx

LOGITS = "logits"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """A published model and the comparison that let it out."""

    path: Path
    record: ExportRecord
    rows: tuple[ComparisonRow, ...]
    verdicts: tuple[Verdict, ...]
    """On the precisions that engines may take instead of the model's own."""


def export_model(
    checkpoint: Path,
    output: Path,
    *,
    outputs: tuple[str, ...] = ("labels",),
    averaging: bool = False,
    precision: Precision = Precision.FP32,
    images: Sequence[NDArray[Any]] = (),
    labelled: Callable[[Subject], Sequence[JudgedTile]] | None = None,
    engines: tuple[str, ...] | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> ExportResult:
    """Export a checkpoint to the ONNX file `output`, replacing it in one step if the comparison passes.

    With `averaging` the model gives the mean over the symmetries of the square (`unetctl.trainer.averaging`), and so do
    the golden tiles that it carries. `images` are real images `[C, H, W]` that training did not see, beside the golden
    tiles; all are PyTorch's in fp32, whatever the `precision` of the model. `labelled` gives tiles with the labels of
    people, on which bf16 is judged, if there are any. `engines` names those to compare with, by default all that this
    machine can run and need not build for. Raises `CheckFailedError`, and then `output` is what
    it was before; `UnavailableError` without an engine; `DataError` without golden tiles.
    """
    names = usable_names(engines)
    on_step("reading the checkpoint")
    subject = read_subject(checkpoint, averaging=averaging, precision=precision)
    on_step("tracing the network")
    model = to_onnx(subject, (*outputs, LOGITS))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(output) as temporary:
        temporary.write_bytes(model.SerializeToString())
        real = real_tiles(subject, images)
        rows = compare_all(subject, temporary, (*outputs, LOGITS), names, on_step, real=real)
        refuse_failures(rows, what=output)
        record = export_record(outputs, subject, rows, precision=precision)
        remove_logits(model)
        describe(model, subject, record)
        temporary.write_bytes(model.SerializeToString())
        on_step("checking the file as it will be used")
        written = read_model(temporary)
        _check_final(written, names, output)
        verdicts: tuple[Verdict, ...] = ()
        if precision is Precision.FP32:
            judged = _judged(subject, real, labelled(subject) if labelled else ())
            verdicts = hinted_verdicts(written, names, judged, on_step)
            record = with_verdicts(record, verdicts)
            describe(model, subject, record)
            temporary.write_bytes(model.SerializeToString())
    return ExportResult(path=output, record=record, rows=rows, verdicts=verdicts)


def usable_names(engines: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the engines to compare with: those named, or all that this machine can run and need not build for.

    Raises `UnavailableError` where there is none.
    """
    names = engines or engines_at_once()
    if not names:
        statuses = engine_status()
        raise UnavailableError(
            "no engine of this machine can run the exported model, so it cannot be compared with PyTorch",
            cause="; ".join(f"{one.name}: {one.why_not}" for one in statuses),
            hint=statuses[-1].hint,  # of the engine that runs everywhere
        )
    return names


def compare_all(
    subject: Subject,
    path: Path,
    outputs: tuple[str, ...],
    names: tuple[str, ...],
    on_step: Callable[[str], None],
    *,
    real: Sequence[GoldenTile] = (),
) -> tuple[ComparisonRow, ...]:
    """Compare a graph with logits on its golden tiles, and on `real` ones, in PyTorch and the engines `names`."""
    sets = {"golden": subject.golden, "validation": real}
    runners: dict[str, Runner] = {"torch": torch_runner(subject, outputs)}
    runners |= {name: partial(run_file, name, path) for name in names}
    rows = []
    for name, run in runners.items():
        on_step(f"comparing {name} with PyTorch")
        rows += [compare(name, which, run, tiles, subject) for which, tiles in sets.items() if tiles]
    return tuple(rows)


def export_record(
    outputs: tuple[str, ...], subject: Subject, rows: Sequence[ComparisonRow], *, precision: Precision
) -> ExportRecord:
    """Return the record of a model that computes in `precision`, with the comparison that let its graph out."""
    packages = ("unetctl", "torch", "onnx", "onnxscript")
    return ExportRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        precision=str(precision),
        outputs=outputs,
        averaging=subject.averaging,
        comparison={
            "relative_tolerance": RELATIVE_TOLERANCES[subject.precision],
            "rows": [one.to_json() for one in rows],
        },
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
            **{one.name: one.version for one in engine_status() if one.usable},
        },
    )


def _judged(subject: Subject, real: Sequence[GoldenTile], labelled: Sequence[JudgedTile]) -> JudgedTiles:
    """Return what a verdict is measured on: golden tiles, and of the validation images those with labels if any."""
    held_out = tuple(labelled) or tuple(JudgedTile(tile=one) for one in real)
    return JudgedTiles(
        images="golden, validation" if held_out else "golden",
        tiles=(*(JudgedTile(tile=one) for one in subject.golden), *held_out),
    )


def remove_logits(model: onnx.ModelProto) -> None:
    """Take the logits, which only the comparison needs, from the outputs."""
    graph = model.graph
    graph.output.remove(next(one for one in graph.output if one.name == LOGITS))


def describe(model: onnx.ModelProto, subject: Subject, record: ExportRecord) -> None:
    """Let the file say what it is."""
    import onnx

    entries = {
        SPEC_KEY: subject.spec.to_json(),
        EXPORT_KEY: record.to_json(),
        GOLDEN_KEY: pack_golden(subject.golden),
    }
    onnx.helper.set_model_props(model, entries)


def _check_final(written: Model, names: tuple[str, ...], output: Path) -> None:
    rows = check_model(written, {name: partial(open_engine, name) for name in names})
    if failed := [one.engine for one in rows if not one.passed]:
        raise CheckFailedError(
            f"{output} was not written: without the logits it gives other labels on {', '.join(failed)}",
            hint="this is a defect of the engine: report it with the output of unetctl doctor",
        )
