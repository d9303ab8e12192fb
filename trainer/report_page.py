"""`report.html`: a finished run on one page, for people who were not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.system import write_atomically
from unetctl.trainer.advice import advise
from unetctl.trainer.history import History
from unetctl.trainer.html_page import (
    Html,
    details,
    element,
    notices,
    page,
    pairs,
    picture,
    section,
    swatch,
    table,
    tiles,
)
from unetctl.trainer.report_charts import dice_chart, loss_chart
from unetctl.trainer.run_facts import (
    class_shares,
    counted,
    part_sizes,
    score_text,
    settings_rows,
    share_text,
    time_text,
)
from unetctl.trainer.runs import RUNS, RunFolder


def write_report(folder: RunFolder, spec: ModelSpec, metrics: Mapping[str, Any], history: History) -> None:
    """Write the page of a complete run; `metrics` is what `metrics.json` holds. Raises `OSError`."""
    write_atomically(folder.report, report(folder, spec, metrics, history).encode())


def report(folder: RunFolder, spec: ModelSpec, metrics: Mapping[str, Any], history: History) -> str:
    """Return the page; the pictures are those of the folder that are there."""
    best, sizes = int(metrics["best_step"]), part_sizes(metrics)
    lead = (
        f"A U-Net of depth {spec.depth} with {spec.base_channels} channels at its first level, trained on "
        f"{counted(sizes['train'], 'image')} in {metrics['steps']:,} steps."
    )
    return page(
        f"{spec.name}, run {folder.name}",
        _summary(metrics),
        notices((*advise(history, metrics), *metrics["notices"])),
        section("Scores", *_scores(spec, metrics)),
        section("Course", loss_chart(history, best), dice_chart(history, spec.classes, best)),
        section("Predictions", *_pictures(folder, best, max(history.scores))),
        section("Data", *_data(spec, metrics)),
        section("Settings", *_settings(metrics)),
        section("Time and machine", _machine(spec, metrics)),
        section("Next", *_next(folder)),
        lead=lead,
        footer=f"Made by unetctl {metrics['versions']['unetctl']} on {metrics['created'][:10]}; needs no network.",
    )


def _summary(metrics: Mapping[str, Any]) -> Html:
    rows = []
    for part in ("test", "validation"):
        if metrics[part] is not None:
            rows.append((f"{metrics[part]['mean_dice']:.3f}", f"mean Dice, {part} images"))
    judged = "test" if metrics["test"] is not None else "validation"
    rows.append((f"{100 * metrics[judged]['pixel_error']:.2f} %", f"of pixels wrong, {judged} images"))
    rows.append((f"{metrics['best_step']:,}", f"the best step, of {metrics['steps']:,}"))
    return tiles([*rows, (time_text(metrics["seconds"]), "of training")])


def _scores(spec: ModelSpec, metrics: Mapping[str, Any]) -> list[Html]:
    parts = [part for part in ("validation", "test") if metrics[part] is not None]
    sizes = part_sizes(metrics)
    rows = [
        [
            swatch(one.colour, one.name),
            *(score_text(metrics[part][measure][one.name]) for part in parts for measure in ("dice", "iou")),
            share_text(share),
        ]
        for one, share in zip(spec.classes, class_shares(metrics), strict=True)
    ]
    means = [text for part in parts for text in (score_text(metrics[part]["mean_dice"]), "")]
    headers = [f"{measure}, {part}" for part in parts for measure in ("Dice", "IoU")]
    which = " and of ".join(counted(sizes[part], f"{part} image") for part in parts)
    shown = [
        table(["class", *headers, "training pixels"], [*rows, ["mean", *means, ""]]),
        element(
            "p",
            f"Of all pixels of {which}; 1 is perfect. Dice is twice the common area over the sum of both areas, IoU "
            "the common area over the joint one.",
            kind="soft",
        ),
    ]
    for part in parts:
        shown.append(details(f"What was taken for what, {part}", _confusion(spec, metrics[part]["confusion"])))
    return shown


def _confusion(spec: ModelSpec, matrix: list[list[int]]) -> Html:
    rows = [
        [swatch(one.colour, one.name), *(f"{100 * count / max(1, sum(counts)):.1f} %" for count in counts)]
        for one, counts in zip(spec.classes, matrix, strict=True)
    ]
    return table(["truth", *(f"called {one.name}" for one in spec.classes)], rows)


def _pictures(folder: RunFolder, best: int, last: int) -> list[Html]:
    shown: list[Html] = []
    for step, words in ((best, "the best step, whose weights are kept"), (last, "the last step")):
        path = folder.prediction(step)
        if path.is_file() and (step != best or not shown):
            alt = f"Validation images, truth, prediction and errors at step {step}"
            shown.append(picture(path.read_bytes(), alt, caption=f"Step {step:,}: {words}.", wide=True))
    return shown


def _data(spec: ModelSpec, metrics: Mapping[str, Any]) -> list[Html]:
    by_model = spec.normalisation.scope is Scope.MODEL
    shown = [
        pairs(
            [
                *((f"{part} images", f"{count:,}") for part, count in part_sizes(metrics).items()),
                ("channels", f"{', '.join(spec.channels)} ({spec.pixel_type.value})"),
                ("pixel size", f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else "not known"),
                ("normalised by", f"mean and spread of {'all training pixels' if by_model else 'each image'}"),
            ]
        )
    ]
    named = [(part, ", ".join(metrics["split"][part]["names"])) for part in part_sizes(metrics)]
    shown.append(details("Which images", pairs([(part, names or "none") for part, names in named])))
    return shown


def _settings(metrics: Mapping[str, Any]) -> list[Html]:
    rows = list(settings_rows(metrics["settings"]))
    changed = [row[:3] for row in rows if row[3]]
    same = [row[:2] for row in rows if not row[3]]
    first = (
        table(["setting", "here", "default"], changed) if changed else element("p", "All settings are the defaults.")
    )
    return [first, details(f"{len(same)} settings as the default", table(["setting", "here"], same))]


def _machine(spec: ModelSpec, metrics: Mapping[str, Any]) -> Html:
    speed, batch = metrics["speed"], metrics["settings"]["train"]["batch"]
    speeds = []
    if speed is not None:
        speeds.append(("network", f"{speed['steps_per_second']:.3g} steps a second of {counted(batch, 'sample')}"))
        speeds.append(("loader", f"can make {speed['samples_per_second']:.3g} samples a second"))
    versions = ", ".join(f"{name} {one}" for name, one in metrics["versions"].items())
    return pairs(
        [
            ("machine", metrics["machine"]),
            ("processes", metrics["processes"]),
            ("precision", metrics["precision"]),
            ("time", time_text(metrics["seconds"])),
            *speeds,
            ("seed", metrics["seed"]),
            ("versions", versions),
            ("weights", element("code", spec.weights_sha256)),
            ("data", element("code", metrics["data_sha256"])),
        ]
    )


def _next(folder: RunFolder) -> list[Html]:
    commands = f"unetctl export --model {RUNS}/{folder.name}/{folder.model.name}\nunetctl segment IMAGE.tif"
    words = "In the project's folder; model-card.md is the text to give away with the model."
    return [element("pre", element("code", commands)), element("p", words, kind="soft")]
