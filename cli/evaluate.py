"""`unetctl evaluate`: how good a model is, or label images of any origin, against annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unetctl.cli import evaluate_report, output
from unetctl.cli.evaluate_request import default_page, make_request, model_to_score
from unetctl.cli.extras import needs_extra
from unetctl.cli.models import as_typed
from unetctl.cli.progress import progress
from unetctl.cli.project import find_project, load_project
from unetctl.cli.wording import path_text
from unetctl.runtime.errors import StorageError, UsageError


def evaluate(
    labels: Annotated[
        Path | None,
        typer.Option("--labels", "-l", metavar="DIR", help="Label images to score against; default: the project's."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", "-i", metavar="DIR", help="Their images; default: the project's.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="FILE", help="Checkpoint, model (.onnx) or nuclei; default: the newest run's."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", "-p", metavar="DIR", help="Label images of any origin, instead of a model."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Settings; default: unetctl.toml of this project."),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="Which of the project's images: test, validation or train; default: test, where there are some.",
        ),
    ] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Also with the network averaged over 8 rotations and flips: worth and cost.")
    ] = False,
    objects: Annotated[bool, typer.Option("--objects", help="Score objects too: SEG and average precision.")] = False,
    membranes: Annotated[
        bool, typer.Option("--membranes", help="Two classes, the background is membrane: Rand, VI, warping error.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Two classes: take the one that is not background where its probability is above X."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Page of pictures; default: evaluation.html in the run's folder."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the scores of all images together only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model, or ready label images, against annotated images.

    In a project: the newest run on its test images, else on those of validation. Makes a page of pictures, worst first.
    """
    if model is not None and predictions is not None:
        raise UsageError("--model and --predictions exclude each other", hint="score one after the other")
    config = load_project(config_file) if config_file or find_project() else None
    choice = None if predictions is not None else model_to_score(model, config)
    with needs_extra("train", "scoring"):
        from unetctl.trainer.evaluation import run_evaluation
        from unetctl.trainer.evaluation_page import check_page, write_page

        request = make_request(
            config,
            labels=labels,
            images=images,
            model=choice.path if choice else None,
            predictions=predictions,
            part=part,
            averaged=tta,
            objects=objects,
            membranes=membranes,
            threshold=threshold,
            has_page=page is not None,
        )
        target = page or default_page(request)
        if target is not None:
            check_page(target)
        silent = quiet or as_json
        if choice and not silent:
            output.notice(f"model: {path_text(as_typed(choice.path))}{f' ({choice.reason})' if choice.reason else ''}")
        with progress("scoring", quiet=silent) as update:
            outcome = run_evaluation(request, lambda what, done, of: update(done, of, title=what))
            failure: OSError | None = None
            if target is not None:
                update(0, 0, title="drawing")
                try:
                    write_page(target, evaluate_report.subject(request, outcome), outcome.plain, outcome.averaged)
                except OSError as error:
                    failure, target = error, None
    if as_json:
        output.result_json(evaluate_report.plain_values(request, outcome, target))
    elif quiet:
        output.result(evaluate_report.one_line(outcome))
    else:
        evaluate_report.show(request, outcome, target)
    if failure is not None:
        raise StorageError(
            "the page could not be written", cause=str(failure), saved="the scores are above", hint="--page FILE.html"
        ) from failure
