"""From a checkpoint to a model in 8 bits: calibrate on training tiles, quantise, judge on validation images, publish.

fp32 graph, compared with PyTorch -> ranges of training tiles -> all layers in 8 bits -> judged on every engine
    within the limits -> published, with a verdict for each engine
    over them -> the layers that hurt most, by measurement, back to fp32: one, two, four ... -> judged again
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.exporter.compare import refuse_failures
from unetctl.exporter.export import LOGITS, compare_all, describe, export_record, remove_logits, usable_names
from unetctl.exporter.judge import JudgedTile, JudgedTiles, judge
from unetctl.exporter.project_tiles import calibration_inputs, judged_tiles, project_pairs
from unetctl.exporter.quantise import PERCENTILE, Ranges, Scheme, calibrate, layer_names, quantise
from unetctl.exporter.sensitivity import ENGINE, layers_by_loss
from unetctl.exporter.subject import Subject, read_subject
from unetctl.exporter.to_onnx import to_onnx
from unetctl.runtime.check import check_model
from unetctl.runtime.engines import open_engine
from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.model import read_model
from unetctl.runtime.precision import QUANTISED_KEY, Precision
from unetctl.runtime.spec import ExportRecord
from unetctl.runtime.system import atomic_path
from unetctl.runtime.verdict import Verdict, with_verdicts

if TYPE_CHECKING:
    import onnx

    from unetctl.trainer.config import Config

MOST_KEPT = 0.5
"""With a greater part of the layers in fp32 a model in 8 bits is not worth its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Result:
    """A published model, and how it was judged."""

    path: Path
    record: ExportRecord
    verdicts: tuple[Verdict, ...]
    kept: tuple[tuple[str, float], ...]
    """The layers that stayed in fp32, with the mean squared error of the logits that each alone would cause."""
    layers: int


def export_int8(
    checkpoint: Path,
    output: Path,
    *,
    config: Config,
    outputs: tuple[str, ...] = ("labels",),
    averaging: bool = False,
    scheme: Scheme = Scheme.CPU,
    engines: tuple[str, ...] | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Int8Result:
    """Export a checkpoint to the int8 file `output`, replacing it in one step if an engine gives the right labels.

    A graph for TensorRT is judged on ONNX Runtime in its place, and again by its golden tiles when an engine is built.
    Raises `CheckFailedError` if no engine is within the limits with half of the layers in fp32, and then `output` is
    what it was before; `DataError` without the project's images; and as `export_model`.
    """
    names = (ENGINE,) if scheme is Scheme.TENSORRT else usable_names(engines)
    on_step("reading the checkpoint and the project's images")
    subject = read_subject(checkpoint, averaging=averaging)
    pairs = project_pairs(config, subject.spec)
    on_step("tracing the network")
    model = to_onnx(subject, (*outputs, LOGITS))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(output) as temporary:
        temporary.write_bytes(model.SerializeToString())
        rows = compare_all(subject, temporary, (*outputs, LOGITS), names, on_step)
        refuse_failures(rows, what=output)
        on_step("calibrating on training images")
        inputs = calibration_inputs(pairs.train, subject.spec)
        ranges = calibrate(model, inputs)
        judged = JudgedTiles(
            images="golden, validation",
            tiles=(*(JudgedTile(tile=one) for one in subject.golden), *judged_tiles(pairs.validation, subject)),
        )
        record = export_record(outputs, subject, rows, precision=Precision.INT8)
        trial = _Trial(model, ranges, scheme, subject, record, judged, temporary, names, on_step)
        kept, verdicts = _fewest_kept(trial, lambda: layers_by_loss(model, ranges, inputs, scheme=scheme))
        if not any(one.accepted for one in verdicts):
            raise CheckFailedError(
                f"{output} was not written: in int8 it would not give the right labels",
                cause="; ".join(f"{one.engine}: {one.text()}" for one in verdicts),
                saved=f"{len(kept)} of {len(layer_names(model))} layers were kept in fp32; the checkpoint is unchanged",
                hint="the model in fp32 runs in bf16 on processors that have it",
            )
        record = with_verdicts(trial.described(kept), verdicts)
        trial.write(kept, record)
    return Int8Result(path=output, record=record, verdicts=verdicts, kept=kept, layers=len(layer_names(model)))


@dataclass(frozen=True, slots=True)
class _Trial:
    """All that a quantised graph is made from and judged by."""

    model: onnx.ModelProto
    ranges: Ranges
    scheme: Scheme
    subject: Subject
    record: ExportRecord
    judged: JudgedTiles
    path: Path
    names: tuple[str, ...]
    on_step: Callable[[str], None]

    def described(self, kept: Sequence[tuple[str, float]]) -> ExportRecord:
        """Return the record of a graph with these layers in fp32."""
        facts = {
            "for": str(self.scheme),
            "percentile": PERCENTILE,
            "layers": len(layer_names(self.model)),
            "kept_in_fp32": [{"layer": name, "loss": loss} for name, loss in kept],
        }
        return replace(self.record, comparison={**self.record.comparison, QUANTISED_KEY: facts})

    def write(self, kept: Sequence[tuple[str, float]], record: ExportRecord) -> None:
        """Write the file as it will be."""
        model = quantise(self.model, self.ranges, scheme=self.scheme, kept={name for name, _ in kept})
        remove_logits(model)
        describe(model, self.subject, record)
        self.path.write_bytes(model.SerializeToString())

    def verdicts(self, kept: Sequence[tuple[str, float]]) -> tuple[tuple[Verdict, ...], bool]:
        """Judge on every engine; tell too whether all are within the limits, on the golden tiles alone as well."""
        self.write(kept, self.described(kept))
        written = read_model(self.path)
        found = []
        for name in self.names:
            self.on_step(f"comparing {name} in int8 with PyTorch, {len(kept)} layers in fp32")
            found.append(judge(written, name, Precision.INT8, self.judged))
        rows = check_model(written, {name: partial(open_engine, name) for name in self.names})
        return tuple(found), all(one.accepted for one in found) and all(one.passed for one in rows)


def _fewest_kept(
    trial: _Trial, losses: Callable[[], Sequence[tuple[str, float]]]
) -> tuple[tuple[tuple[str, float], ...], tuple[Verdict, ...]]:
    """Return the layers to keep in fp32 so that every engine is within the limits, and the verdicts then.

    None if none is needed, else the 1, 2, 4 ... that lose the most, `MOST_KEPT` of them at the most.
    """
    kept: tuple[tuple[str, float], ...] = ()
    verdicts, is_enough = trial.verdicts(kept)
    if is_enough:
        return kept, verdicts
    trial.on_step("measuring what each layer loses in 8 bits")
    ordered = losses()
    count = 1
    while not is_enough and count <= MOST_KEPT * len(ordered):
        kept = tuple(ordered[:count])
        verdicts, is_enough = trial.verdicts(kept)
        count *= 2
    return kept, verdicts
