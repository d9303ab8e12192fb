"""The check with golden tiles lets the right engine pass and catches every kind of wrong one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.models import tiny_model
from unetctl.runtime.check import check_model, logit_tolerance
from unetctl.runtime.engines import open_engine
from unetctl.runtime.errors import DataError
from unetctl.runtime.golden import Agreement
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.spec import PixelType, Scope

ENGINES = {"onnxruntime": partial(open_engine, "onnxruntime")}


def agreement(model: Model) -> Agreement:
    (row,) = check_model(model, ENGINES)
    assert row.engine == "onnxruntime"
    assert row.tiles == len(model.golden)
    assert row.passed == row.agreement.passed
    return row.agreement


def test_a_good_model_passes_without_a_flip(tmp_path: Path) -> None:
    found = agreement(read_model(tiny_model(tmp_path)))
    assert found.passed
    assert found.flips == 0
    assert found.pixels > 1000


def test_golden_tiles_of_sixteen_bits_bring_their_own_statistics(tmp_path: Path) -> None:
    path = tiny_model(tmp_path, integer=True, scope=Scope.IMAGE, pixel_type=PixelType.UINT16)
    assert agreement(read_model(path)).flips == 0


@pytest.mark.parametrize("fault", ["a changed weight", "a wrong normalisation", "swapped classes", "a NaN"])
def test_a_wrong_model_is_caught(tmp_path: Path, fault: str) -> None:
    good = read_model(tiny_model(tmp_path))
    model = onnx.load(good.path)
    tensors = {one.name: one for one in model.graph.initializer}
    name = {
        "a changed weight": "network.up.1.0.weight",
        "a wrong normalisation": next(one.input[1] for one in model.graph.node if one.op_type == "Sub"),
    }.get(fault, "network.classify.bias")
    values = onnx.numpy_helper.to_array(tensors[name]).copy()
    if fault == "a changed weight":
        values[0] *= -1
    elif fault == "a wrong normalisation":
        values += 20
    elif fault == "swapped classes":
        weights = onnx.numpy_helper.to_array(tensors["network.classify.weight"])[::-1].copy()
        tensors["network.classify.weight"].CopyFrom(onnx.numpy_helper.from_array(weights, "network.classify.weight"))
        values = values[::-1].copy()
    else:
        values[0] = np.nan
    tensors[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    onnx.save(model, tmp_path / "wrong.onnx")
    found = agreement(replace(good, path=tmp_path / "wrong.onnx"))
    assert not found.passed
    assert found.invalid if fault == "a NaN" else found.flips_beyond


def test_a_tolerance_that_is_given_is_used(tmp_path: Path) -> None:
    model = read_model(tiny_model(tmp_path))
    (row,) = check_model(model, ENGINES, 0.25)
    assert row.tolerance == 0.25
    assert check_model(model, ENGINES)[0].tolerance == logit_tolerance(model.golden) < 0.01


def test_a_model_without_golden_tiles_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="golden"):
        check_model(replace(read_model(tiny_model(tmp_path)), golden=()), ENGINES)
