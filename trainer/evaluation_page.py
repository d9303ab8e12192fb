"""`evaluation.html`: the scores of all images, and pictures of the worst, on one page that needs no network."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unetctl.runtime.errors import OutputError
from unetctl.runtime.system import write_atomically
from unetctl.trainer.evaluate import Case, Evaluation, Prediction, background_of
from unetctl.trainer.evaluation_pictures import (
    INVENTED,
    MISSED,
    MISTAKEN,
    Picture,
    class_picture,
    encode,
    error_picture,
    image_picture,
    object_picture,
    shrink_factor,
)
from unetctl.trainer.evaluation_tables import (
    averaging_rows,
    class_rows,
    columns,
    explanations,
    figure_text,
    scan_rows,
    short,
)
from unetctl.trainer.html_page import Html, details, element, escaped, notices, page, section, swatch, table, tiles
from unetctl.trainer.label_values import ClassMap
from unetctl.trainer.objects import objects_of

PAGE_NAME = "evaluation.html"
MOST_SHOWN = 40
"""Images of which there are pictures, the worst: a page of a hundred would be too heavy for a phone."""

FIRST_ROWS = 12
"""Images in the table that is not folded away."""

NAME_LETTERS = 26

MARK = "Made by unetctl evaluate"
"""In every page: what has it may be replaced by a newer page."""

FLATTERY = (
    "These thresholds were chosen on the images that are scored, which flatters. "
    "Choose one on other images, and give it with --threshold."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """What was scored."""

    title: str
    lead: str
    cases: Sequence[Case]
    classes: ClassMap
    notices: Sequence[str]
    made: str
    """Version and date."""


def check_page(path: Path) -> None:
    """Raise `OutputError` if the page cannot be written there, or would replace something else."""
    what = ""
    if path.is_dir():
        what = "is a folder"
    elif not path.parent.is_dir():
        what = "cannot be made: its folder is not there"
    elif not os.access(path.parent, os.W_OK):
        what = "cannot be made: its folder cannot be written"
    if what:
        raise OutputError(f"{path} {what}", hint="choose another place for it: --page FILE.html")
    if path.exists() and MARK.encode() not in path.read_bytes():
        raise OutputError(f"{path} exists, and is no page of unetctl evaluate", hint="choose another --page")


def write_page(path: Path, subject: Subject, plain: Evaluation, averaged: Evaluation | None = None) -> None:
    """Write the page; its pictures are of the averaged network's predictions, where there are some."""
    write_atomically(path, evaluation_page(subject, plain, averaged).encode())


def evaluation_page(subject: Subject, plain: Evaluation, averaged: Evaluation | None = None) -> str:
    """Return the page."""
    shown = averaged or plain
    order = shown.worst_first
    return page(
        subject.title,
        tiles((text, name) for name, text in columns(shown.pooled)),
        notices(subject.notices),
        section("Scores", *_scores(subject, plain, averaged)),
        section("Images", *_images(subject, shown, order)),
        section("Pictures", *_pictures(subject, shown, order[:MOST_SHOWN])),
        lead=subject.lead,
        footer=f"{MARK} {subject.made}; needs no network.",
    )


def _scores(subject: Subject, plain: Evaluation, averaged: Evaluation | None) -> list[Html]:
    shown = averaged or plain
    infos = subject.classes.classes
    rows = class_rows(shown.pooled, [one.name for one in infos])
    found = [
        table(
            ("class", "Dice", "IoU", "of the truth"),
            [(swatch(one.colour, one.name), *row[1:]) for one, row in zip(infos, rows, strict=True)],
        )
    ]
    if averaged is not None:
        headings, lines = averaging_rows(plain, averaged)
        found.append(element("h3", "What averaging over the 8 symmetries of the square is worth, and what it costs"))
        found.append(table(headings, lines))
    elif plain.seconds_per_megapixel is not None:
        speed = figure_text(plain.seconds_per_megapixel, 2)
        found.append(element("p", f"The network took {speed} s a megapixel.", kind="soft"))
    if shown.scan:
        found.append(element("h3", "Best thresholds"))
        found.append(table(("measure", "best above", "there"), scan_rows(shown)))
        found.append(element("p", FLATTERY, kind="soft"))
    found += [element("p", text, kind="soft") for text in explanations(shown)]
    return found


def _images(subject: Subject, shown: Evaluation, order: Sequence[int]) -> list[Html]:
    rows: list[list[object]] = []
    for place, index in enumerate(order):
        name = subject.cases[index].name
        text = f'<span title="{escaped(name)}">{escaped(short(name, NAME_LETTERS))}</span>'
        link = Html(f'<a href="#image-{place}">{text}</a>' if place < MOST_SHOWN else text)
        rows.append([link, *(text for _, text in columns(shown.images[index]))])
    headings = ["image", *(name for name, _ in columns(shown.pooled))]
    total = [element("b", f"all {len(order)}"), *(text for _, text in columns(shown.pooled))]
    found = [table(headings, [total, *rows[:FIRST_ROWS]], caption="Worst first.")]
    if more := rows[FIRST_ROWS:]:
        found.append(details(f"{len(more)} better ones", table(headings, more)))
    return found


def _pictures(subject: Subject, shown: Evaluation, order: Sequence[int]) -> list[Html]:
    found = [_legend(subject.classes)]
    if len(order) < len(subject.cases):
        words = f"The {len(order)} worst of {len(subject.cases)} images; the others are in the table only."
        found.append(element("p", words, kind="soft"))
    for place, index in enumerate(order):
        case = subject.cases[index]
        figures = ", ".join(f"{name} {text}" for name, text in columns(shown.images[index]))
        factor = shrink_factor(case.truth.shape)
        size = f"{case.truth.shape[1]} x {case.truth.shape[0]} px"
        size += f", shown at 1/{factor} of it" if factor > 1 else ""
        heading = Html(f'<h3 id="image-{place}">{escaped(case.name)}</h3>')
        panels = _panels(case, shown.predictions[index], subject.classes)
        found.append(
            element("article", heading, element("p", f"{figures}; {size}", kind="soft"), panels, kind="scored")
        )
    return found


def _legend(classes: ClassMap) -> Html:
    background = background_of(classes)
    names = [one.name for one in classes.classes]
    ground = names[background]
    if len(names) == 2:
        other = names[1 - background]
        kinds = [(MISSED, f"missed: {other} called {ground}"), (INVENTED, f"invented: {ground} called {other}")]
    else:
        kinds = [
            (MISSED, f"missed: called {ground}"),
            (INVENTED, f"invented: {ground} called something"),
            (MISTAKEN, "mistaken: one class for another"),
        ]
    items = [element("span", swatch(colour, text)) for colour, text in kinds]
    if classes.values:
        items += [element("span", swatch(one.colour, one.name)) for one in classes.classes]
    return element("p", *items, kind="legend")


def _panels(case: Case, prediction: Prediction, classes: ClassMap) -> Html:
    infos = classes.classes
    ground = infos[background_of(classes)]
    image = None if case.image is None else image_picture(case.image)
    objects = prediction.objects
    if case.objects is not None and objects is None:
        objects = objects_of(prediction.labels, 1 - background_of(classes))  # as they were scored
    truth, found = (
        class_picture(labels, infos) if numbers is None else object_picture(numbers, ground)
        for labels, numbers in ((case.truth, case.objects), (prediction.labels, objects))
    )
    errors = error_picture(case.truth, prediction.labels, background_of(classes), image)
    panels = [_panel(image, "image", case.name, is_photo=True)] if image is not None else []
    panels += [
        _panel(truth, "truth", case.name),
        _panel(found, "prediction", case.name),
        _panel(errors, "errors", case.name, is_photo=image is not None),
    ]
    return element("div", *panels, kind="panels")


def _panel(picture: Picture, what: str, name: str, *, is_photo: bool = False) -> Html:
    encoded = encode(picture, is_photo=is_photo)
    data = base64.b64encode(encoded.data).decode("ascii")
    height, width = encoded.yx
    image = Html(
        f'<img src="data:{encoded.mime};base64,{data}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{escaped(f"{what} of {name}")}">'
    )
    return element("figure", image, element("figcaption", what))
