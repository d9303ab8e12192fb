"""Which precision a run takes: nothing that was not compared and accepted, and int8 only by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import fake_model
from unetctl.runtime.check import CheckRow, label_limits
from unetctl.runtime.errors import DataError, RefusedError, UnavailableError, UsageError
from unetctl.runtime.golden import Agreement
from unetctl.runtime.model import Model
from unetctl.runtime.precision import Precision, model_file_name
from unetctl.runtime.precision_choice import choose_precision, is_for_tensorrt
from unetctl.runtime.spec import ExportRecord
from unetctl.runtime.verdict import ClassScores, Verdict, verdicts_of, with_verdicts

BF16 = (Precision.BF16,)


def verdict(**changes: Any) -> Verdict:
    """A verdict that is just within every limit."""
    scores = {"a": ClassScores(fp32_dice=0.9, dice=0.8981, fp32_iou=0.8, iou=0.79)}
    base = Verdict(
        engine="one",
        precision=Precision.BF16,
        images="golden",
        truth="fp32",
        pixels=10_000,
        flips=50,
        far_flips=5,
        largest_margin=1.2,
        invalid=0,
        scores=scores,
    )
    return replace(base, **changes)


def model(*verdicts: Verdict, precision: str = "fp32") -> Model:
    found = fake_model()
    return replace(found, record=with_verdicts(replace(found.record, precision=precision), verdicts))


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({}, True),
        ({"far_flips": 6}, False),
        ({"invalid": 1}, False),
        ({"pixels": 0, "far_flips": 0}, False),
        ({"flips": 9_000}, True),
        ({"scores": {"a": ClassScores(fp32_dice=0.9, dice=0.8979, fp32_iou=None, iou=None)}}, False),
        ({"scores": {"a": ClassScores(fp32_dice=0.9, dice=None, fp32_iou=None, iou=None)}}, False),
        ({"scores": {"a": ClassScores(fp32_dice=None, dice=0.1, fp32_iou=None, iou=None)}}, True),
        ({"scores": {"a": ClassScores(fp32_dice=0.8, dice=0.9, fp32_iou=0.8, iou=0.9)}}, True),
    ],
)
def test_a_verdict_is_worked_out_from_its_figures(changes: dict[str, Any], accepted: bool) -> None:
    assert verdict(**changes).accepted is accepted


def test_a_verdict_travels_in_the_record_and_the_flag_in_it_counts_for_nothing() -> None:
    bad = verdict(far_flips=6)
    found = model(bad).record
    assert verdicts_of(found, source="x") == (bad,)
    listed = [{**one, "accepted": True} for one in found.comparison["verdicts"]]
    record = ExportRecord.from_json(replace(found, comparison={"verdicts": listed}).to_json(), source="x")
    assert not verdicts_of(record, source="x")[0].accepted


@pytest.mark.parametrize("listed", [3, [3], [{}], [{**verdict().to_json(), "pixels": "many"}]])
def test_malformed_verdicts_are_refused(listed: Any) -> None:
    record = replace(fake_model().record, comparison={"verdicts": listed})
    with pytest.raises(DataError, match="malformed"):
        verdicts_of(record, source="x")


def test_auto_takes_bf16_where_it_was_accepted_for_this_engine_and_says_why() -> None:
    found = choose_precision("auto", model(verdict()), engine="one", hints=BF16)
    assert (found.precision, found.hint) == (Precision.BF16, Precision.BF16)
    assert "50 of 10,000 labels flip" in found.reason
    for other in (model(), model(verdict(far_flips=6)), model(verdict(engine="two"))):
        left = choose_precision("auto", other, engine="one", hints=BF16)
        assert (left.precision, left.hint) == (Precision.FP32, None)
        assert "bf16 was not" in left.reason
    assert choose_precision("auto", model(verdict()), engine="one", hints=()).precision is Precision.FP32


def test_bf16_by_name_needs_the_verdict_and_the_processor() -> None:
    assert choose_precision("bf16", model(verdict()), engine="one", hints=BF16).hint is Precision.BF16
    assert choose_precision("fp32", model(verdict()), engine="one", hints=BF16).hint is None
    with pytest.raises(RefusedError, match="not accepted"):
        choose_precision("bf16", model(verdict(far_flips=6)), engine="one", hints=BF16)
    with pytest.raises(RefusedError, match="not compared"):
        choose_precision("bf16", model(), engine="one", hints=BF16)
    with pytest.raises(UnavailableError, match="does not compute in bf16"):
        choose_precision("bf16", model(verdict()), engine="one", hints=())
    with pytest.raises(UsageError, match="no --precision int3"):
        choose_precision("int3", model(), engine="one", hints=())


def test_an_int8_graph_runs_where_it_was_accepted_and_nowhere_else() -> None:
    int8 = model(verdict(precision=Precision.INT8), precision="int8")
    for wanted in ("auto", "int8"):
        assert choose_precision(wanted, int8, engine="one", hints=BF16).precision is Precision.INT8
        with pytest.raises(RefusedError, match="not compared"):
            choose_precision(wanted, int8, engine="two", hints=BF16)
    for wanted in ("fp32", "bf16"):
        with pytest.raises(UsageError, match="computes in int8"):
            choose_precision(wanted, int8, engine="one", hints=BF16)
    with pytest.raises(UsageError, match="computes in fp32") as caught:
        choose_precision("int8", model(verdict()), engine="one", hints=BF16)
    assert "export --precision int8" in caught.value.hint
    built = choose_precision("auto", int8, engine="two", hints=(), is_compared_when_built=True)
    assert built.precision is Precision.INT8


def test_a_precision_of_a_later_version_is_refused() -> None:
    with pytest.raises(DataError, match="int3"):
        choose_precision("auto", model(precision="int3"), engine="one", hints=())


def test_no_export_takes_the_name_of_another() -> None:
    names = {
        model_file_name("m", precision, averages=averages, for_tensorrt=for_tensorrt)
        for precision in (Precision.FP32, Precision.FP16, Precision.INT8)
        for averages in (False, True)
        for for_tensorrt in (False, True)
    }
    assert len(names) == 12
    assert {"m.onnx", "m.tta.onnx", "m.fp16.onnx", "m.int8.onnx", "m.tta.int8.tensorrt.onnx"} <= names
    assert not is_for_tensorrt(fake_model().record)
    assert Path("m.int8.onnx").suffix == ".onnx"


def test_golden_tiles_allow_bf16_and_int8_a_few_flips_and_fp32_none() -> None:
    tolerance, part = label_limits((), "int8")
    assert (tolerance, part) == (0.5, 0.0005)
    agreement = Agreement(pixels=10_000, flips=9, flips_beyond=5, largest_margin=2, invalid=0)
    row = CheckRow(engine="e", precision="int8", tiles=1, tolerance=0.5, allowed_part=part, agreement=agreement)
    assert row.passed
    assert not replace(row, agreement=replace(agreement, flips_beyond=6)).passed
    assert not replace(row, agreement=replace(agreement, invalid=1)).passed
    assert not replace(row, allowed_part=0.0).passed
