"""What the values in label images are taken to mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models import tiny_network, tiny_spec
from unetctl.runtime.errors import DataError
from unetctl.runtime.spec import ClassInfo, ModelSpec
from unetctl.trainer.config import Config
from unetctl.trainer.evaluation_files import Plane
from unetctl.trainer.evaluation_images import ReadPlane
from unetctl.trainer.evaluation_labels import (
    Coding,
    case_of,
    check_truth,
    prediction_coding,
    prediction_of,
    truth_classes,
)
from unetctl.trainer.label_values import ClassMap
from unetctl.trainer.settings import ClassConfig, DataConfig

BYTES = (ClassConfig(name="membrane", values=(0,)), ClassConfig(name="cell", values=(255,)))


def project(classes: tuple[ClassConfig, ...] = BYTES, **data: Any) -> Config:
    return Config(path=Path("unetctl.toml"), name="p", classes=classes, data=DataConfig(**data))


def model(**training: Any) -> ModelSpec:
    return replace(tiny_spec(tiny_network(depth=1, base_channels=2)), training=training)


def read(
    labels: list[int] | NDArray[Any], predicted: list[int] | None = None, *, is_own: bool = False, name: str = "a"
) -> ReadPlane:
    plane = Plane(
        name=name, stem=name, number=0, label=Path(f"l/{name}.png"), image=None, prediction=Path(f"p/{name}.png")
    )
    return ReadPlane(
        plane=plane,
        labels=np.atleast_2d(np.array(labels)),
        image=None,
        predicted=None if predicted is None else np.atleast_2d(np.array(predicted)),
        is_own_result=is_own,
    )


def meaning(
    found: set[int], config: Config | None = None, spec: ModelSpec | None = None, *, objects: bool = False
) -> ClassMap:
    return truth_classes(found, config=config, spec=spec, objects=objects)


def test_the_project_says_what_its_values_mean() -> None:
    assert meaning({0, 255}, project()).values == ((0,), (255,))
    assert meaning({0, 1, 9}, project((), kind="instances")).values == ()


def test_without_a_project_the_model_says_it() -> None:
    settings = {"data": {"kind": "classes"}, "classes": [{"values": [3]}, {"values": [4, 5]}]}
    assert meaning({3, 5}, spec=model(settings=settings)).values == ((3,), (4, 5))
    settings = {"data": {"kind": "instances"}, "classes": []}
    assert meaning({0, 7}, spec=model(settings=settings)).values == ()


@pytest.mark.parametrize("settings", [None, {}, {"data": 3}, {"data": {"kind": "classes"}, "classes": [{}, 4]}])
def test_a_model_that_does_not_say_it_means_positions(settings: Any) -> None:
    spec = model(settings=settings)
    assert meaning({0, 1}, spec=spec).values == ((0,), (1,))
    assert meaning({0}, spec=spec).values == ((0,), (1,))
    assert meaning({0, 255}, spec=spec).values == ((0,), (255,))


def test_without_either_the_values_themselves_say_it() -> None:
    assert meaning({0, 1, 2}).values == ((0,), (1,), (2,))
    with pytest.raises(DataError) as caught:
        meaning({0, 3, 17})
    assert "--objects" in caught.value.hint


def test_values_that_mean_no_class_number_objects_where_objects_are_asked_for() -> None:
    for classes in (meaning({0, 3, 17}, objects=True), meaning({0, 3, 17}, spec=model(), objects=True)):
        assert classes.values == ()
        assert "number objects" in classes.notice
    assert meaning({0, 1}, objects=True).values == ((0,), (1,))
    assert meaning({0, 255}, project(), objects=True).values == ((0,), (255,))
    turned = project(background="cell")  # 0 would be an object
    assert meaning({0, 7}, turned, objects=True).values == ((0,), (255,))


def test_the_classes_must_be_those_of_the_model() -> None:
    spec = model()
    three = tuple(ClassConfig(name=name) for name in "abc")
    with pytest.raises(DataError, match="have the classes a, b, c, and the model tiny gives class 0, class 1"):
        meaning({0, 1}, project(three), spec)
    with pytest.raises(DataError, match="have the classes"):  # the same, in another order
        meaning({0, 1}, project((ClassConfig(name="class 1"), ClassConfig(name="class 0"))), spec)
    assert "taken as membrane, cell" in meaning({0, 255}, project(), spec).notice


def test_a_value_that_means_no_class_is_named_with_its_file() -> None:
    with pytest.raises(DataError, match=r"l.a\.png: values that mean no class: 7; name them"):
        check_truth([read([0, 7])], meaning({0}, project()))


@pytest.mark.parametrize(
    ("values", "coding"),
    [([0, 255], Coding.VALUES), ([0, 0], Coding.VALUES), ([0, 1], Coding.POSITIONS), ([1, 1], Coding.POSITIONS)],
)
def test_predictions_have_the_values_of_the_truth_or_positions(values: list[int], coding: Coding) -> None:
    assert prediction_coding([read([0, 255], values)], meaning(set(), project()), objects=False)[0] is coding


def test_the_values_of_all_predictions_decide_together() -> None:
    planes = [read([0, 255], [0, 0]), read([0, 255], [1, 0], name="b")]
    coding, notice = prediction_coding(planes, meaning(set(), project()), objects=False)
    assert coding is Coding.POSITIONS
    assert notice
    assert prediction_of(planes[1], meaning(set(), project()), coding).labels.tolist() == [[1, 0]]


def test_predictions_that_mean_nothing_are_named() -> None:
    planes = [read([0, 255], [0, 1]), read([0, 255], [0, 9], name="b")]
    with pytest.raises(DataError, match=r"p.b\.png: values that mean no class: 9"):
        prediction_coding(planes, meaning(set(), project()), objects=False)
    with pytest.raises(DataError, match="hold the values 0, 1, 255"):
        prediction_coding([read([0, 255], [0, 1, 255])], meaning(set(), project()), objects=False)


@pytest.mark.parametrize(
    ("values", "coding"),
    [([0, 1], Coding.VALUES), ([0, 255], Coding.VALUES), ([0, 1, 2], Coding.NUMBERS), ([0, 17], Coding.NUMBERS)],
)
def test_beside_numbered_objects_predictions_are_masks_or_numbers(values: list[int], coding: Coding) -> None:
    classes = meaning({0, 1, 2, 3}, project((), kind="instances"))
    assert prediction_coding([read([0, 3], values)], classes, objects=True)[0] is coding


def test_own_results_are_positions_whatever_the_others_are() -> None:
    classes = meaning(set(), project())
    assert prediction_of(read([0, 255], [0, 1], is_own=True), classes, Coding.VALUES).labels.tolist() == [[0, 1]]
    with pytest.raises(DataError, match="class 2, and there are 2"):
        prediction_of(read([0, 255], [0, 2], is_own=True), classes, Coding.VALUES)


def test_a_copy_of_numbered_objects_has_no_wrong_pixel() -> None:
    numbers = np.repeat(np.array([[0, 4, 4, 4, 9, 9, 0]]), 5, axis=0)  # they touch
    plane = read(numbers, numbers)  # type: ignore[arg-type]
    classes = meaning({0, 4, 9}, objects=True)
    case, prediction = case_of(plane, classes, None), prediction_of(plane, classes, Coding.NUMBERS)
    assert (case.truth == prediction.labels).all()
    assert case.truth.sum() < np.count_nonzero(numbers)  # a line lies between the two
    assert prediction.objects is not None


def test_names_of_classes_come_with_their_colours() -> None:
    spec = model()
    assert meaning({0, 1}, spec=spec).classes == tuple(
        ClassInfo(name=one.name, colour=one.colour) for one in spec.classes
    )
