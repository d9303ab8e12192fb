"""Everything between the files of an evaluation and its scores: read, understood, and what should be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import UsageError
from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.config import Config
from unetctl.trainer.evaluate import Case, Prediction, background_of
from unetctl.trainer.evaluation_files import Plane
from unetctl.trainer.evaluation_images import read_planes
from unetctl.trainer.evaluation_labels import (
    Coding,
    case_of,
    check_truth,
    prediction_coding,
    prediction_of,
    truth_classes,
)
from unetctl.trainer.label_values import ClassMap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Images with their truth, ready to be scored."""

    cases: tuple[Case, ...]
    classes: ClassMap
    predictions: tuple[Prediction, ...]
    """Where label images were given; empty for a model."""
    objects: bool
    """Whether to score objects: they were asked for, or the labels number them."""
    notices: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of the classes."""
        return [one.name for one in self.classes.classes]

    @property
    def images(self) -> list[NDArray[Any]]:
        """`[C, H, W]` each, where there are images."""
        return [case.image for case in self.cases if case.image is not None]


def prepare(
    planes: Sequence[Plane],
    *,
    config: Config | None,
    spec: ModelSpec | None,
    objects: bool,
    membranes: bool,
    seen: Mapping[str, str],
    on_plane: Callable[[int], None] = lambda _: None,
) -> Prepared:
    """Read the planes and decide what their values mean; `seen` names the images that the model knows, and its part.

    Raises `DataError`, `ResourceError`, and `UsageError` for membranes among more than two classes.
    """
    read = read_planes(planes, spec, on_plane)
    values = {int(value) for plane in read for value in np.unique(plane.labels)}
    classes = truth_classes(values, config=config, spec=spec, objects=objects)
    check_truth(read, classes)
    if membranes and len(classes.classes) != 2:
        raise UsageError(
            f"--membranes: there are {len(classes.classes)} classes",
            cause="its measures are of two: membranes and what is between them",
            hint="leave it out",
        )
    objects = objects or not classes.values
    notices = [
        classes.notice,
        _background_notice(classes) if objects or membranes else "",
        *_seen_notices(planes, seen),
    ]
    coding = Coding.POSITIONS
    if foreign := [plane for plane in read if plane.predicted is not None and not plane.is_own_result]:
        coding, notice = prediction_coding(foreign, classes, objects=objects)
        notices.append(notice)
    return Prepared(
        cases=tuple(case_of(plane, classes, seen.get(plane.plane.name)) for plane in read),
        classes=classes,
        predictions=tuple(prediction_of(plane, classes, coding) for plane in read if plane.predicted is not None),
        objects=objects,
        notices=tuple(notice for notice in notices if notice),
    )


def _background_notice(classes: ClassMap) -> str:
    if classes.background is not None:
        return ""
    name = classes.classes[background_of(classes)].name
    return f"class 0, {name!r}, is taken as the background; [data] background names another"


def _seen_notices(planes: Sequence[Plane], seen: Mapping[str, str]) -> list[str]:
    notices = []
    for part, did, means in (
        ("train", "network was trained on", "scores say nothing of new ones"),
        ("validation", "weights were chosen by", "their scores flatter a little"),
    ):
        if count := sum(seen.get(plane.name) == part for plane in planes):
            which = "these images" if count == len(planes) else f"{count} of these {len(planes)} images"
            notices.append(f"the {did} {which}: {means}")
    return notices
