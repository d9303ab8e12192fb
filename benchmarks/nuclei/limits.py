"""Where a model of nuclei stops working: `python -m benchmarks.nuclei.limits PROJECT [MODEL]`, by default `nuclei`.

On the held-out images: how many nuclei of each size are found; what is left when the same images are larger or smaller
than those of the training, or have dark nuclei on a bright background; and what is seen in noise that shows nothing.
Prints tables and writes PROJECT/limits.json.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.nuclei.score import Images, label_all, read_part, score_image, summed_up
from benchmarks.record import write_record
from unetctl.cli.models import RunnableModel, Wish, model_path, open_model
from unetctl.runtime import segment
from unetctl.trainer.object_measures import overlaps
from unetctl.trainer.objects import objects_of

DIAMETERS_PX = (0, 8, 12, 16, 24, 32, 48, 1000)
"""Bounds of the groups; the diameter of a disc of the nucleus's area."""
SCALES = (0.33, 0.5, 1.0, 2.0, 3.0)
LARGEST_PX = 1400
"""Longer side of an image that is enlarged; larger ones are left out, for the time that they take."""
NOISE_SIDE_PX = 1024


def recall_by_diameter(images: Images, labels: dict[str, NDArray[np.uint8]]) -> dict[str, dict[str, float]]:
    """Return, for each group of diameters, how many nuclei there are and which part is found at an IoU of 0.5."""
    diameters, hits = [], []
    for name, (_, truth) in images.items():
        pairs = overlaps(truth, objects_of(labels[name], 1))
        diameters.append(2 * np.sqrt(pairs.truth_areas / np.pi))
        hits.append(np.isin(np.arange(len(pairs.truth_areas)), pairs.truth_index[pairs.ious >= 0.5]))
    every, found = np.concatenate(diameters), np.concatenate(hits)
    groups = {}
    for low, high in pairwise(DIAMETERS_PX):
        own = (every >= low) & (every < high)
        if own.any():
            groups[f"{low} to {high} px"] = {"nuclei": int(own.sum()), "found": float(found[own].mean())}
    return groups


def scaled(images: Images, factor: float) -> Images:
    """Return images and truth at another size; those that become too large or lose their last nucleus are left out."""
    found = {
        name: (ndimage.zoom(image, factor, order=1), ndimage.zoom(truth, factor, order=0))
        for name, (image, truth) in images.items()
        if factor <= 1 or factor * max(image.shape) <= LARGEST_PX
    }
    return {name: (image, truth) for name, (image, truth) in found.items() if truth.any()}


def measured(runnable: RunnableModel, images: Images) -> dict[str, float]:
    """Return the measures of `benchmarks.nuclei.score` for some images."""
    labels = label_all(runnable, images)
    return summed_up([score_image(name, truth, labels[name]) for name, (_, truth) in images.items()])


def seen_in_noise(runnable: RunnableModel) -> dict[str, float]:
    """Return what is labelled as nucleus where there is none: the part of the pixels, and objects a megapixel."""
    noise = np.random.default_rng(0).poisson(12, (NOISE_SIDE_PX, NOISE_SIDE_PX)).astype(np.uint8)
    labels = segment(noise, runnable.model, engine=runnable.choice)
    return {
        "pixels": float((labels > 0).mean()),
        "objects_per_mpx": float(objects_of(labels, 1).max() / noise.size * 1e6),
    }


def measure(runnable: RunnableModel, images: Images) -> dict[str, Any]:
    """Return all limits as plain values."""
    labels = label_all(runnable, images)
    inverted = {name: (255 - image, truth) for name, (image, truth) in images.items()}
    return {
        "by_diameter": recall_by_diameter(images, labels),
        "by_scale": {f"{factor:g}": measured(runnable, scaled(images, factor)) for factor in SCALES},
        "inverted": measured(runnable, inverted),
        "noise": seen_in_noise(runnable),
    }


def main() -> None:
    """Measure the model named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a folder that benchmarks.nuclei.prepare made")
    parser.add_argument("model", nargs="?", default="nuclei", metavar="MODEL")
    arguments = parser.parse_args()
    images = read_part(arguments.project, "test")
    if not images:
        parser.error(f"{arguments.project} holds no test images")
    runnable = open_model(model_path(arguments.model), Wish(precision="fp32"))
    limits = measure(runnable, images)
    print("diameter         nuclei    found")
    for group, one in limits["by_diameter"].items():
        print(f"{group:16}{one['nuclei']:7}{one['found']:9.3f}")
    print("\nsize of the image    images    Dice    AP50")
    rows = {**{f"{factor} times": one for factor, one in limits["by_scale"].items()}, "inverted": limits["inverted"]}
    for name, one in rows.items():
        print(f"{name:20}{one['images']:7}{one['dice_pooled']:8.3f}{one['ap50_pooled']:8.3f}")
    noise = limits["noise"]
    print(f"\nnoise alone: {100 * noise['pixels']:.2f} % nucleus, {noise['objects_per_mpx']:,.0f} objects a megapixel")
    spec = runnable.model.spec
    write_record(
        arguments.project / "limits.json",
        results={"weights_sha256": spec.weights_sha256, **limits},
        settings={},
        seeds=[spec.training["seed"]],
        commands=[],
    )


if __name__ == "__main__":
    main()
