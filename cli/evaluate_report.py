"""What `evaluate` shows: the images, worst first, all of them together, and what the figures depend on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetctl.cli import output
from unetctl.cli.models import as_typed
from unetctl.cli.version import version
from unetctl.cli.wording import counted, path_text, safe_text, seconds_text

if TYPE_CHECKING:
    from unetctl.trainer.evaluate import Evaluation
    from unetctl.trainer.evaluation import Outcome, Request
    from unetctl.trainer.evaluation_page import Subject

MOST_ROWS = 20
"""Images on the screen; the page and `--json` have all."""

LEAST_LETTERS = 10
"""Of a name that is shortened, however narrow the screen is."""


def show(request: Request, outcome: Outcome, page: Path | None) -> None:
    """Print the scores, and what to type next."""
    from unetctl.trainer.evaluation_tables import averaging_rows, class_rows, explanations

    for text in outcome.notices:
        output.notice(f"notice: {safe_text(text)}")
    shown = outcome.averaged or outcome.plain
    output.heading(_heading(request, outcome))
    _show_images(shown, [case.name for case in outcome.prepared.cases], page)
    names = [safe_text(name) for name in outcome.prepared.names]
    output.heading("by class")
    output.table(("class", "Dice", "IoU", "of the truth"), class_rows(shown.pooled, names))
    if outcome.averaged is not None:
        output.heading("averaging over the 8 symmetries of the square: what it is worth, what it costs")
        output.table(*averaging_rows(outcome.plain, outcome.averaged))
    _show_scan(request, shown)
    for text in explanations(shown):
        output.notice(text)
    seconds = "" if outcome.averaged else seconds_text(shown.seconds_per_megapixel or 0.0)
    output.pairs(
        [
            ("network", f"{seconds} a megapixel" if seconds and shown.seconds_per_megapixel else ""),
            ("page", "" if page is None else path_text(page)),
        ]
    )
    _show_next(request, outcome)


def one_line(outcome: Outcome) -> str:
    """Return the scores of all images together in one line."""
    from unetctl.trainer.evaluation_tables import columns

    return ", ".join(f"{name} {text}" for name, text in columns((outcome.averaged or outcome.plain).pooled))


def plain_values(request: Request, outcome: Outcome, page: Path | None) -> dict[str, Any]:
    """Return everything for `--json`."""
    prepared = outcome.prepared
    model = request.checkpoint or request.model
    return {
        "model": None if model is None else str(model),
        "predictions": None if request.predictions is None else str(request.predictions),
        "labels": str(request.labels),
        "images_from": None if request.images is None else str(request.images),
        "part": request.part,
        "classes": prepared.names,
        "threshold": request.threshold,
        **outcome.plain.to_dict(prepared.cases, prepared.names),
        "averaged": outcome.averaged.to_dict(prepared.cases, prepared.names) if outcome.averaged else None,
        "notices": list(outcome.notices),
        "page": None if page is None else str(page),
    }


def subject(request: Request, outcome: Outcome) -> Subject:
    """Return what the page is about."""
    from unetctl.trainer.evaluation_page import Subject

    prepared = outcome.prepared
    name = outcome.spec.name if outcome.spec else request.predictions.name if request.predictions else ""
    return Subject(
        title=f"{name} on {_images_text(request, len(prepared.cases))}",
        lead=_lead(request),
        cases=prepared.cases,
        classes=prepared.classes,
        notices=outcome.notices,
        made=f"{version()}, {datetime.now(UTC):%Y-%m-%d}",
    )


def _heading(request: Request, outcome: Outcome) -> str:
    scored = request.checkpoint or request.model or request.predictions
    at = "" if request.threshold is None else f", cut at {request.threshold:g}"
    name = path_text(as_typed(scored)) if scored else ""
    return f"{name} on {_images_text(request, len(outcome.prepared.cases))}{at}"


def _images_text(request: Request, count: int) -> str:
    return counted(count, f"{request.part} image" if request.part else "image")


def _lead(request: Request) -> str:
    model = request.checkpoint or request.model
    words = f"{path_text(as_typed(model))}" if model else f"Label images in {path_text(request.predictions or '')}"
    words += f", scored against {path_text(request.labels)}"
    return (
        words
        if request.threshold is None
        else f"{words}; objects where their probability is above {request.threshold:g}"
    )


def _show_images(shown: Evaluation, names: Sequence[str], page: Path | None) -> None:
    from unetctl.trainer.evaluation_tables import columns, short

    order = shown.worst_first
    found = columns(shown.pooled)
    letters = max(LEAST_LETTERS, output.columns() - sum(2 + max(len(name), len(text)) for name, text in found) - 2)
    rows = [
        (short(safe_text(names[index]), letters), *(text for _, text in columns(shown.images[index])))
        for index in order[:MOST_ROWS]
    ]
    total = (f"all {len(order)}", *(text for _, text in found))
    output.table(("worst first", *(name for name, _ in found)), [*rows, total])
    if len(order) > MOST_ROWS:
        output.result(f"  {len(order) - MOST_ROWS} better ones are {'on the page and ' if page else ''}in --json")


def _show_scan(request: Request, shown: Evaluation) -> None:
    from unetctl.trainer.evaluation_tables import scan_rows

    if not shown.scan:
        return
    output.heading("best thresholds, as the ISBI 2012 challenge takes them")
    output.table(("measure", "best above", "there"), scan_rows(shown))
    output.result("  Chosen on the images that are scored, which flatters:")
    if request.part == "validation":
        output.result("  take one of them to the test images with --threshold.")
    else:
        output.result("  choose on others (--part validation), and give the choice with --threshold.")


def _show_next(request: Request, outcome: Outcome) -> None:
    if request.checkpoint is None:
        return
    scan = (outcome.averaged or outcome.plain).scan
    if scan and request.part == "validation" and request.config is not None and request.config.data.test:
        words: list[str | Path] = ["unetctl", "evaluate", "--model", request.checkpoint, "--part", "test"]
        words += ["--tta"] if outcome.averaged else []
        output.next_command(*words, "--membranes", "--threshold", f"{scan['v_rand'].best_threshold:g}")
    else:
        output.next_command("unetctl", "export", "--model", request.checkpoint)
