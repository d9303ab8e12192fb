"""What `evaluate` scores where the command line does not say: the project's newest run, its labels, its test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.cli.models import is_checkpoint, model_path
from unetctl.cli.project import Choice, newest_checkpoint
from unetctl.runtime.errors import UsageError

if TYPE_CHECKING:
    from unetctl.trainer.config import Config
    from unetctl.trainer.evaluation import Request

PARTS = ("test", "validation", "train")


def model_to_score(model: str | None, config: Config | None) -> Choice:
    """Return the model that is named, else the project's newest. Raises `UsageError` outside a project."""
    if model is not None:
        return Choice(path=model_path(model), reason="")
    if config is None:
        raise UsageError(
            "there is nothing to score: this is no project",
            hint="--model FILE or --predictions DIR; or go into a project folder",
        )
    return newest_checkpoint(config)


def make_request(
    config: Config | None,
    *,
    labels: Path | None,
    images: Path | None,
    model: Path | None,
    predictions: Path | None,
    part: str | None,
    averaged: bool,
    objects: bool,
    membranes: bool,
    threshold: float | None,
    has_page: bool,
) -> Request:
    """Fill in what is not given. Raises `UsageError` for what does not go together."""
    from unetctl.trainer.evaluation import Request

    is_own = model is not None and is_checkpoint(model)
    if not is_own:
        _refuse_probabilities(averaged=averaged, threshold=threshold, has_model=model is not None)
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(
            f"--threshold {threshold:g} cannot be", cause="probabilities are 0 to 1", hint="--threshold 0.4"
        )
    return Request(
        labels=_labels(labels, config),
        images=_images(images, config, for_model=model is not None, for_page=has_page and labels is None),
        checkpoint=model if is_own else None,
        model=None if is_own else model,
        predictions=predictions,
        config=config,
        part=_part(part, config, has_labels=labels is not None),
        averaged=averaged,
        objects=objects,
        membranes=membranes,
        threshold=threshold,
    )


def default_page(request: Request) -> Path | None:
    """Return the page in the run's folder of a checkpoint, or of a model that was exported from a run of the project.

    There is none for anything else, unless it is asked for.
    """
    from unetctl.runtime.model import read_model_spec
    from unetctl.trainer.evaluation_page import PAGE_NAME
    from unetctl.trainer.runs import RUNS

    if request.checkpoint is not None:
        return request.checkpoint.with_name(PAGE_NAME)
    if request.model is None or request.config is None:
        return None
    run = str(read_model_spec(request.model)[0].training.get("run", ""))
    folder = request.config.folder / RUNS / Path(run).name
    return folder / PAGE_NAME if run and folder.is_dir() else None


def _labels(labels: Path | None, config: Config | None) -> Path:
    if labels is not None:
        return labels
    if config is None:
        raise UsageError("there is nothing to score against: this is no project", hint="--labels DIR")
    return config.resolve(config.data.labels)


def _images(images: Path | None, config: Config | None, *, for_model: bool, for_page: bool) -> Path | None:
    """Return the images that are named, else those of the project, where a model or the page needs them."""
    if images is None and config is None and for_model:
        raise UsageError("a model needs images, and this is no project", hint="--images DIR")
    if images is not None or config is None or not (for_model or for_page):
        return images
    return config.resolve(config.data.images)


def _part(part: str | None, config: Config | None, *, has_labels: bool) -> str | None:
    """Return the part of the project's images: what is asked for, else test, else validation; all of `--labels`."""
    if part is not None and part not in PARTS:
        raise UsageError(f"--part {part} cannot be", hint=f"--part {', '.join(PARTS[:-1])} or {PARTS[-1]}")
    if part is not None and config is None:
        raise UsageError(f"--part {part}: this is no project, so there are no parts", hint="leave it out")
    if part is not None or config is None or has_labels:
        return part
    return "test" if config.data.test else "validation"


def _refuse_probabilities(*, averaged: bool, threshold: float | None, has_model: bool) -> None:
    """Raise `UsageError` for what only a checkpoint can answer."""
    for option, is_asked in (("--tta", averaged), ("--threshold", threshold is not None)):
        if is_asked:
            raise UsageError(
                f"{option} needs a checkpoint",
                cause=f"{'an exported model gives' if has_model else 'label images hold'} labels, no probabilities",
                hint="--model runs/<name>/model.safetensors",
            )
