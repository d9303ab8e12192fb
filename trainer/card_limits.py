"""Where a model may fail, as far as its own training tells: facts of the run, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.trainer.run_facts import class_shares, counted, part_sizes, share_text

FEW_IMAGES = 5
"""Of fewer, a score may change much with the next image."""

SMALL_CLASS = 0.05
"""Part of the training pixels below which a class is called small."""


def limits(spec: ModelSpec, metrics: Mapping[str, Any]) -> list[str]:
    """Return the known limits, one sentence or two each."""
    sizes = part_sizes(metrics)
    judged = "test" if metrics["test"] is not None else "validation"
    found = [
        f"It has seen {counted(sizes['train'], 'image')}; other specimens, stains and microscopes are untried.",
        _pixel_size(spec),
        _brightness(spec, metrics),
    ]
    if judged == "validation":
        found.append("There was no test: the validation images chose the weights too, so that their scores flatter.")
    if sizes[judged] < FEW_IMAGES:
        found.append(f"The scores are of {counted(sizes[judged], 'image')}; others would score otherwise.")
    found += _classes(spec, metrics, judged)
    found.append("It is one training from one seed; another seed gives other weights and other scores.")
    return found


def _pixel_size(spec: ModelSpec) -> str:
    if spec.pixel_size_um:
        return f"All training images were taken as {spec.pixel_size_um:g} µm a pixel; other pixel sizes are untried."
    return "The pixel size of the training images is not known, so nothing warns of an image that has another."


def _brightness(spec: ModelSpec, metrics: Mapping[str, Any]) -> str:
    if spec.normalisation.scope is Scope.IMAGE:
        return (
            "Gray values are normalised by each image's own mean and spread, so that an image of which little is "
            "like the training images (empty, cropped close) is seen brighter or darker than they were."
        )
    augment = metrics["settings"]["augment"]
    return (
        "Gray values are normalised by constants of the training images; images that are brighter, darker or flatter "
        f"than they are by more than training tried (contrast by {100 * augment['contrast']:g} %, brightness by "
        f"{augment['brightness']:g} standard deviations) are untried."
    )


def _classes(spec: ModelSpec, metrics: Mapping[str, Any], judged: str) -> list[str]:
    """Name the classes that were not measured, the worst of those that were, and the smallest."""
    dice = metrics[judged]["dice"]
    found = [
        f"The class {name} was not in the {judged} images: how well it is found is not known."
        for name, score in dice.items()
        if score is None
    ]
    known = {name: score for name, score in dice.items() if score is not None}
    worst = min(known, key=known.__getitem__)
    found.append(f"Worst found is the class {worst}, with a Dice of {known[worst]:.3f} on {judged} images.")
    share, smallest = min((share, one.name) for share, one in zip(class_shares(metrics), spec.classes, strict=True))
    if share < SMALL_CLASS:
        found.append(f"The smallest class, {smallest}, is {share_text(share)} of the training pixels: it saw few.")
    return found
