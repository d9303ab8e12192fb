"""Which precision a run computes in: the fastest that the comparison accepted, or the one that was asked for by name.

    the model's graph   fp32   fp16   int8
    may be run in       fp32   fp16   int8, where its verdict for this engine is good
                        bf16, where the engine has it here and its verdict for this engine is good

What was not compared, or not accepted, is refused with what to do; nothing else is taken in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unetctl.runtime.errors import DataError, RefusedError, UnavailableError, UsageError
from unetctl.runtime.model import Model
from unetctl.runtime.precision import GRAPHS, QUANTISED_KEY, Precision
from unetctl.runtime.spec import ExportRecord
from unetctl.runtime.verdict import Verdict, verdicts_of

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionChoice:
    """A precision, and why that one."""

    precision: Precision
    hint: Precision | None
    """What the engine must be told; None if the graph says it."""
    reason: str


def is_for_tensorrt(record: ExportRecord) -> bool:
    """Tell whether an int8 graph is the one for TensorRT."""
    facts = record.comparison.get(QUANTISED_KEY)
    return isinstance(facts, Mapping) and facts.get("for") == "tensorrt"


def parse_precision(text: str) -> Precision:
    """Return the precision of this name. Raises `UsageError`."""
    try:
        return Precision(text)
    except ValueError as error:
        known = ", ".join((AUTO, *Precision))
        raise UsageError(f"there is no --precision {text}", hint=f"--precision takes {known}") from error


def graph_precision(model: Model) -> Precision:
    """Return what a model's graph computes in. Raises `DataError` for a precision of a later version."""
    try:
        return Precision(model.record.precision)
    except ValueError as error:
        known = ", ".join(Precision)
        raise DataError(
            f"{model.path} computes in {model.record.precision}, and this version knows {known}",
            hint="use a newer unetctl",
        ) from error


def choose_precision(
    wanted: str, model: Model, *, engine: str, hints: Sequence[Precision], is_compared_when_built: bool = False
) -> PrecisionChoice:
    """Choose what `engine` computes `model` in; `hints` are what it can make of an fp32 graph here, the fastest first.

    An engine that `is_compared_when_built` needs no verdict of the export for what the graph says.

    Raises `UsageError` for what needs another file, `UnavailableError` for what the engine does not have here, and
    `RefusedError` for what was not compared or not accepted.
    """
    own = graph_precision(model)
    verdicts = {one.precision: one for one in verdicts_of(model.record, source=str(model.path)) if one.engine == engine}
    if wanted == AUTO and own is Precision.FP32:
        return _fastest(own, verdicts, hints)
    asked = own if wanted == AUTO else parse_precision(wanted)
    if asked is own:
        reason = "the model's own" if wanted == AUTO else "asked for"
        if own is Precision.INT8 and not is_compared_when_built:
            reason += f"; at export {_good(verdicts, own, model, engine).text()}"
        return PrecisionChoice(precision=own, hint=None, reason=reason)
    if asked is not Precision.BF16 or own is not Precision.FP32:
        raise UsageError(
            f"{model.path} computes in {own}, and not in {asked}",
            cause="only fp32 models run in bf16" if asked is Precision.BF16 else f"{asked} is a model of its own",
            hint=f"unetctl export --precision {asked}" if asked in GRAPHS else "--precision auto",
        )
    if asked not in hints:
        raise UnavailableError(
            f"{engine} does not compute in {asked} here",
            cause="OpenVINO does, on processors with bf16 arithmetic: unetctl doctor shows whether this is one",
            hint="--precision auto",
        )
    verdict = _good(verdicts, asked, model, engine)
    return PrecisionChoice(precision=asked, hint=asked, reason=f"asked for; at export {verdict.text()}")


def _fastest(own: Precision, verdicts: dict[Precision, Verdict], hints: Sequence[Precision]) -> PrecisionChoice:
    for hint in hints:
        verdict = verdicts.get(hint)
        if verdict and verdict.accepted:
            return PrecisionChoice(precision=hint, hint=hint, reason=f"the fastest; at export {verdict.text()}")
    others = [
        f"; {hint} was not accepted: {verdicts[hint].text()}" if hint in verdicts else f"; {hint} was not compared"
        for hint in hints
    ]
    return PrecisionChoice(precision=own, hint=None, reason=f"the model's own{''.join(others)}")


def _good(verdicts: dict[Precision, Verdict], asked: Precision, model: Model, engine: str) -> Verdict:
    """Return the verdict if it is good. Raises `RefusedError`."""
    verdict = verdicts.get(asked)
    if verdict and verdict.accepted:
        return verdict
    again = "unetctl export" if asked is Precision.BF16 else f"unetctl export --precision {asked}"
    if verdict:
        raise RefusedError(
            f"{asked} was not accepted for {model.path} on {engine}",
            cause=f"at export {verdict.text()}",
            hint="--precision fp32" if asked is Precision.BF16 else "another engine, or the model in fp32",
        )
    raise RefusedError(
        f"{asked} was not compared with PyTorch for {model.path} on {engine}",
        cause="what was never compared may be wrong without a sign of it",
        hint=f"{again}, on a machine with {engine}"
        + (" and bf16 arithmetic; or --precision fp32" if asked is Precision.BF16 else "; or another engine"),
    )
