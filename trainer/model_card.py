"""`model-card.md`: what whoever gets the model must know, under the headings of Mitchell et al. (2019) where they fit.

Model Cards for Model Reporting, FAT* 2019, and the template of Hugging Face. Everything follows from the run; what a
program cannot know (what the images show, who may use the weights) is left to the owner to fill in, and said to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.system import write_atomically
from unetctl.trainer.card_limits import limits
from unetctl.trainer.run_facts import class_shares, counted, part_sizes, score_text, share_text, time_text, written

TO_FILL_IN = "*To be filled in by the owner:*"

INTENDED = (
    "Images like those that it was trained on, and questions for which the scores below are good enough. "
    "Nothing here was tested for diagnosis."
)


def write_card(path: Path, spec: ModelSpec, metrics: Mapping[str, Any]) -> None:
    """Write the card of a complete run; `metrics` is what `metrics.json` holds. Raises `OSError`."""
    write_atomically(path, card(spec, metrics).encode())


def card(spec: ModelSpec, metrics: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    names = [plain(one.name) for one in spec.classes]
    parts = [
        f"# {plain(spec.name)}",
        f"Labels every pixel of an image as {', '.join(names[:-1])} or {names[-1]}.",
        "## Model details\n",
        *_bullets(_details(spec, metrics)),
        "## Intended use\n",
        f"{TO_FILL_IN} what the images show, how they were prepared and taken, and what the labels are for.",
        INTENDED,
        "## Training data\n",
        *_bullets(_data(spec, metrics)),
        f"{TO_FILL_IN} where images and labels come from, who drew the labels, and under which licence they are.",
        "## Training procedure\n",
        *_bullets(_procedure(metrics)),
        "## Evaluation\n",
        _evaluation(spec, metrics),
        "## Limitations\n",
        *_bullets(map(plain, limits(spec, metrics))),
        "## How to use\n",
        _commands(spec, metrics),
        "## Licence\n",
        f"{TO_FILL_IN} the licence of the weights, and whom to ask.",
    ]
    return re.sub("\n{3,}", "\n\n", "\n\n".join(parts)) + "\n"


def plain(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", one_line)


def _details(spec: ModelSpec, metrics: Mapping[str, Any]) -> list[str]:
    channels = ", ".join(map(plain, spec.channels))
    size = f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else "not known"
    by_model = spec.normalisation.scope is Scope.MODEL
    return [
        "Network: the U-Net of Ronneberger, Fischer and Brox (2015), without padding",
        f"Size: depth {spec.depth}, {counted(spec.base_channels, 'channel')} at the first level",
        f"Input: {counted(len(spec.channels), 'channel')} ({channels}) of {spec.pixel_type.value}; pixel size {size}",
        f"Normalisation: mean and spread of {'all training pixels' if by_model else 'each whole image'}",
        "Output: " + ", ".join(f"{index} = {plain(one.name)}" for index, one in enumerate(spec.classes)),
        f"Made: {metrics['created'][:10]}, by unetctl {metrics['versions']['unetctl']}",
        f"SHA-256 of the weights: `{spec.weights_sha256}`",
    ]


def _data(spec: ModelSpec, metrics: Mapping[str, Any]) -> list[str]:
    sizes = part_sizes(metrics)
    total = sum(metrics["class_pixels"])
    shares = zip(spec.classes, class_shares(metrics), strict=True)
    return [
        f"To train on: {counted(sizes['train'], 'image')}, {total:,} labelled pixels",
        f"For validation, which chose the weights: {counted(sizes['validation'], 'image')}",
        f"For the test, used once at the end: {counted(sizes['test'], 'image')}",
        "Training pixels by class: " + ", ".join(f"{plain(one.name)} {share_text(share)}" for one, share in shares),
        f"SHA-256 of images, labels and split: `{metrics['data_sha256']}`",
    ]


def _procedure(metrics: Mapping[str, Any]) -> list[str]:
    train, augment = metrics["settings"]["train"], metrics["settings"]["augment"]
    tile = "whole images" if train["tile"] == "image" else f"tiles of {train['tile']} px"
    varied = ", ".join(f"`{key} = {written(value)}`" for key, value in augment.items() if value)
    borders = f", with the paper's border weights (w0 = {train['border_weight']:g})" if train["border_weight"] else ""
    return [
        f"Steps: {metrics['steps']:,} of {counted(train['batch'], 'sample')} ({tile})",
        f"Kept: the weights of step {metrics['best_step']:,}, which had the best mean Dice on the validation images",
        f"Optimizer: {train['optimizer']}, {train['schedule']} learning rate of at most {train['learning_rate']:g}",
        f"Loss: weighted cross-entropy{borders}",
        f"Variation of the samples: {varied or 'none'}",
        f"Seed: {metrics['seed']}; precision: {metrics['precision']}",
        f"Time: {time_text(metrics['seconds'])} on {plain(metrics['machine'])}",
        "All settings are in the checkpoint: `unetctl inspect model.safetensors --json`",
    ]


def _evaluation(spec: ModelSpec, metrics: Mapping[str, Any]) -> str:
    """Return the scores: what they are of, and a table."""
    parts = [part for part in ("validation", "test") if metrics[part] is not None]
    sizes = part_sizes(metrics)
    rows = [
        [plain(one.name), *(score_text(metrics[part][key][one.name]) for part in parts for key in ("dice", "iou"))]
        for one in spec.classes
    ]
    rows.append(["mean", *(text for part in parts for text in (score_text(metrics[part]["mean_dice"]), ""))])
    headers = ["class", *(f"{name}, {part}" for part in parts for name in ("Dice", "IoU"))]
    wrong = (f"{100 * metrics[part]['pixel_error']:.2f} % of the pixels of {part} images" for part in parts)
    which = " and ".join(counted(sizes[part], f"{part} image") for part in parts)
    words = f"Of all pixels of {which}, in fp32; 1 is perfect. Wrong are {' and '.join(wrong)}."
    return f"{words}\n\n{_table(headers, rows)}"


def _commands(spec: ModelSpec, metrics: Mapping[str, Any]) -> str:
    checkpoint = f"runs/{metrics['run']}/model.safetensors"
    lines = (
        f"unetctl inspect {checkpoint}",
        f"unetctl export --model {checkpoint} --output {spec.name}.onnx",
        f"unetctl segment image.tif --model {spec.name}.onnx",
    )
    return "\n".join(f"    {line}" for line in lines)


def _bullets(texts: Iterable[str]) -> Sequence[str]:
    return ["\n".join(f"- {one}" for one in texts)]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---", *("---:" for _ in headers[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
