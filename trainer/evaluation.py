"""One evaluation from its files to its scores: of a checkpoint, an exported model, or ready label images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetctl.runtime.engines import choose_engine
from unetctl.runtime.errors import UsageError
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.checkpoint import Checkpoint, load_checkpoint
from unetctl.trainer.config import Config
from unetctl.trainer.evaluate import Evaluation, Prediction, background_of, evaluate
from unetctl.trainer.evaluation_cases import Prepared, prepare
from unetctl.trainer.evaluation_files import Plane, check_partners, find_planes, part_of
from unetctl.trainer.evaluation_models import (
    checkpoint_predictions,
    exported_predictions,
    has_same_split,
    seen_names,
)

OnProgress = Callable[[str, int, int], None]
"""Is told what is done, how many images of it, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to score, and how. One of `checkpoint`, `model` and `predictions` is given."""

    labels: Path
    """Folder, or stack"""
    images: Path | None
    """Needed for a checkpoint and a model; otherwise only shown."""
    checkpoint: Path | None = None
    model: Path | None = None
    predictions: Path | None = None
    config: Config | None = None
    """The project, where there is one"""
    part: str | None = None
    """`train`, `validation` or `test` of the project's split; all images where nothing is said."""
    averaged: bool = False
    """Also score the average over the symmetries of the square; of a checkpoint only."""
    objects: bool = False
    membranes: bool = False
    threshold: float | None = None
    """Of a checkpoint of two classes only."""

    @property
    def is_of_project(self) -> bool:
        """Whether the images are the project's own, whose names a model of the project knows."""
        if self.config is None or self.images is None:
            return False
        return self.images.resolve() == self.config.resolve(self.config.data.images).resolve()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What was scored, and what it scored."""

    prepared: Prepared
    plain: Evaluation
    averaged: Evaluation | None
    spec: ModelSpec | None
    notices: tuple[str, ...]
    """What the user should know though nothing failed."""


def run_evaluation(request: Request, on_progress: OnProgress = lambda _what, _done, _of: None) -> Outcome:
    """Read, understand, predict and score. Raises `UnetctlError`; nothing is written."""
    checkpoint = load_checkpoint(request.checkpoint) if request.checkpoint else None
    model = read_model(request.model) if request.model else None
    spec = checkpoint.spec if checkpoint else model.spec if model else None
    planes, notices = _planes(request)
    seen, seen_notice = _seen(request, spec, planes)
    prepared = prepare(
        planes,
        config=request.config,
        spec=spec,
        objects=request.objects,
        membranes=request.membranes,
        seen=seen,
        on_plane=lambda done: on_progress("reading", done, len(planes)),
    )
    if request.threshold is not None and len(prepared.names) != 2:
        raise UsageError(
            f"--threshold: there are {len(prepared.names)} classes", cause="it decides between two", hint="leave it out"
        )

    def scored(predictions: Iterable[Prediction], what: str) -> Evaluation:
        return evaluate(
            prepared.cases,
            predictions,
            prepared.classes,
            objects=prepared.objects,
            membranes=request.membranes,
            threshold=request.threshold,
            on_image=lambda done: on_progress(what, done, len(planes)),
        )

    plain = scored(_predictions(checkpoint, model, prepared, on_progress), "scoring")
    averaged = None
    if checkpoint is not None and request.averaged:
        background = background_of(prepared.classes)
        found = checkpoint_predictions(checkpoint, prepared.images, background=background, averaged=True)
        averaged = scored(found, "scoring, averaged")
    every = (*notices, seen_notice, *prepared.notices)
    return Outcome(
        prepared=prepared, plain=plain, averaged=averaged, spec=spec, notices=tuple(one for one in every if one)
    )


def _planes(request: Request) -> tuple[Sequence[Plane], list[str]]:
    planes, notices = find_planes(request.labels, request.images, request.predictions)
    if request.part is not None and request.config is not None:
        planes = part_of(planes, request.config.data, request.part)
    check_partners(planes, request.images, request.predictions)
    return planes, notices


def _seen(request: Request, spec: ModelSpec | None, planes: Sequence[Plane]) -> tuple[dict[str, str], str]:
    """Return which images the model knows, and a notice if that is not known of all."""
    if spec is None or not request.is_of_project or request.config is None:
        return {}, ""
    seen, is_all = seen_names(spec, [plane.name for plane in planes])
    if is_all or has_same_split(spec, request.config.data):
        return seen, ""
    return seen, (
        "[data] does not split the images as it did when the network was trained, and the model does not name all that "
        "it was trained on: some may be among these"
    )


def _predictions(
    checkpoint: Checkpoint | None, model: Model | None, prepared: Prepared, on_progress: OnProgress
) -> Iterable[Prediction]:
    images: list[NDArray[Any]] = prepared.images
    if checkpoint is not None:
        return checkpoint_predictions(checkpoint, images, background=background_of(prepared.classes))
    if model is None:
        return prepared.predictions

    def on_image(done: int) -> None:
        on_progress("segmenting", done, len(images))

    return exported_predictions(model, images, choose_engine("auto", model), on_image)
