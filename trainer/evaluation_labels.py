"""What the values in label images mean: those of the truth, and those of predictions of any origin.

    truth          label values of the toml, positions of the model's classes, or numbers of objects
    prediction     the same values as the truth; positions of classes, as unetctl writes; or numbers of objects

Truth and prediction are each decided as a whole, never file by file, and what was concluded is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError
from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.config import Config
from unetctl.trainer.config_name import CONFIG_NAME
from unetctl.trainer.evaluate import Case, Prediction, background_of
from unetctl.trainer.evaluation_files import refuse
from unetctl.trainer.evaluation_images import ReadPlane
from unetctl.trainer.label_values import ClassMap, class_map
from unetctl.trainer.settings import DataConfig
from unetctl.trainer.weight_map import separate

MASKS = (frozenset((0, 1)), frozenset((0, 255)))
"""Values of an image of one class and nothing else."""


class Coding(Enum):
    """How a prediction says what it found."""

    VALUES = auto()
    """By the label values of the truth."""
    POSITIONS = auto()
    """By the positions of the classes."""
    NUMBERS = auto()
    """By a number for each object, 0 for none."""


def truth_classes(found: Iterable[int], *, config: Config | None, spec: ModelSpec | None, objects: bool) -> ClassMap:
    """Return the classes, and which of the values `found` in all label images mean them.

    They are those of the toml, else of the model's training, else what the values show. Where `objects` are asked for
    and the values mean no class of two, they number objects. Raises `DataError`.
    """
    values = frozenset(found)
    if config is not None and (config.classes or config.data.kind == "instances"):
        classes = class_map(config, ())
    elif spec is not None:
        classes = _classes_of_model(spec, values)
    elif objects and not _are_masks(values):
        numbered = Config(path=Path(CONFIG_NAME), name="labels", data=DataConfig(kind="instances"))
        classes = replace(class_map(numbered, ()), notice="the label values number objects")
    elif config is not None:
        classes = class_map(config, sorted(values))
    else:
        classes = _classes_of_values(values)
    if spec is not None:
        classes = _checked(classes, spec)
    if objects and classes.values and classes.unknown(values) and _can_number(classes):
        notice = f"the label values number objects: each is taken as one {classes.classes[1].name!r}"
        classes = replace(classes, values=(), background=0, notice=notice)
    return classes


def prediction_coding(planes: Sequence[ReadPlane], classes: ClassMap, *, objects: bool) -> tuple[Coding, str]:
    """Decide what the values of label images of any origin mean, and say what was concluded.

    Raises `DataError` that names the files whose values mean nothing.
    """
    values = {plane.plane.prediction: _values(plane.predicted) for plane in planes if plane.predicted is not None}
    every = frozenset().union(*values.values())
    positions = frozenset(range(len(classes.classes)))
    if not classes.values:  # the truth numbers objects
        if _are_masks(every):
            return Coding.VALUES, "the predictions are masks: their objects are connected regions"
        if min(every) >= 0:
            return Coding.NUMBERS, ""
    elif not classes.unknown(every):
        return Coding.VALUES, ""
    elif every <= positions:
        return Coding.POSITIONS, "the values of the predictions are taken as positions of the classes, from 0"
    elif objects and _can_number(classes) and min(every) >= 0:
        return Coding.NUMBERS, "the values of the predictions are taken as numbers of objects"
    refuse(
        [
            f"{path}: values that mean no class: {_listed(wrong)}"
            for path, held in values.items()
            if (wrong := [value for value in classes.unknown(held) if value not in positions])
        ]
    )
    raise DataError(
        f"the predictions hold the values {_listed(sorted(every))}",
        cause="some are label values of the truth and others positions of classes",
        hint=f"name the values of each class under [[classes]] in {CONFIG_NAME}",
    )


def check_truth(planes: Sequence[ReadPlane], classes: ClassMap) -> None:
    """Raise `DataError` that names the label images with values that mean no class."""
    refuse(
        [
            f"{plane.plane.label}: values that mean no class: {_listed(unknown)}; "
            "name them under [[classes]], or ask for --objects if they number objects"
            for plane in planes
            if (unknown := classes.unknown(_values(plane.labels)))
        ]
    )


def case_of(plane: ReadPlane, classes: ClassMap, seen_in: str | None) -> Case:
    """Return the truth of an image; between numbered objects that touch lies background, as in training."""
    numbers = None if classes.values else plane.labels
    return Case(
        name=plane.plane.name,
        truth=classes.to_classes(plane.labels if numbers is None else separate(numbers)),
        objects=numbers,
        image=plane.image,
        seen_in=seen_in,
    )


def prediction_of(plane: ReadPlane, classes: ClassMap, coding: Coding) -> Prediction:
    """Return what a label image, which was read, predicts. Raises `DataError` for a result of another model."""
    if (found := plane.predicted) is None:
        raise ValueError(f"no prediction of {plane.plane.name} was read")
    if plane.is_own_result:
        if int(found.max()) >= len(classes.classes):
            raise DataError(
                f"{plane.plane.prediction}: class {int(found.max())}, and there are {len(classes.classes)}, from 0",
                hint="it was made by another model; segment the image again",
            )
        coding = Coding.POSITIONS
    if coding is Coding.POSITIONS:
        return Prediction(labels=found.astype(np.uint8))
    if coding is Coding.VALUES:
        return Prediction(labels=classes.to_classes(found))
    background = background_of(classes)
    is_object = (found if classes.values else separate(found)) != 0
    labels = np.where(is_object, 1 - background, background).astype(np.uint8)
    return Prediction(labels=labels, objects=found)


def _classes_of_values(values: frozenset[int]) -> ClassMap:
    """Return the classes that the values show, where neither a project nor a model names any."""
    try:
        return class_map(Config(path=Path(CONFIG_NAME), name="labels"), sorted(values))
    except DataError as error:
        raise DataError(
            error.what,
            cause="classes are 0, 1, 2 and so on without a gap, or 0 and 255",
            hint=f"--objects if they number objects; else name the classes in a {CONFIG_NAME}, and give it by --config",
        ) from error


def _classes_of_model(spec: ModelSpec, values: frozenset[int]) -> ClassMap:
    """Return the classes of a model; label values are what its training says, else positions, or 0 and 255."""
    settings = spec.training.get("settings")
    count = len(spec.classes)
    given: tuple[tuple[int, ...], ...] = tuple((position,) for position in range(count))
    if count == 2 and 255 in values and values <= MASKS[1]:
        given = ((0,), (255,))
    try:
        kind, listed = settings["data"]["kind"], settings["classes"]  # type: ignore[index]
        if kind == "instances":
            given = ()
        elif len(listed) == count:
            given = tuple(tuple(map(int, one["values"])) or (k,) for k, one in enumerate(listed))
    except (KeyError, TypeError, ValueError):
        pass  # the model does not say: it was not trained from a toml
    return ClassMap(classes=spec.classes, values=given, background=spec.background)


def _checked(classes: ClassMap, spec: ModelSpec) -> ClassMap:
    """Return the classes if they can be those of the model; other names for them are mentioned."""
    names, of_model = ([one.name for one in some] for some in (classes.classes, spec.classes))
    if len(names) != len(of_model) or (names != of_model and sorted(names) == sorted(of_model)):
        raise DataError(
            f"the labels have the classes {', '.join(names)}, and the model {spec.name} gives {', '.join(of_model)}",
            hint="give the settings that it was trained with, by --config",
        )
    if names == of_model:
        return classes
    notice = f"the model calls the classes {', '.join(of_model)}: taken as {', '.join(names)}"
    return replace(classes, notice="; ".join(one for one in (classes.notice, notice) if one))


def _can_number(classes: ClassMap) -> bool:
    return len(classes.classes) == 2 and classes.background in (None, 0)


def _are_masks(values: frozenset[int]) -> bool:
    return any(values <= mask for mask in MASKS)


def _values(array: NDArray[Any]) -> frozenset[int]:
    return frozenset(int(value) for value in np.unique(array))


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
