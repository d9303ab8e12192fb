"""Write the card of the built-in model: `python -m benchmarks.nuclei.card PROJECT`, after `score` and `limits`.

The figures are those of PROJECT/scores.json and PROJECT/limits.json, and of the model's own spec; the words are in
`card.md`, and what was seen in the pictures of the worst images in `failures.md`, which a person writes.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.nuclei.score import COLUMNS
from benchmarks.nuclei.split import read_split
from benchmarks.record import table
from unetctl.runtime.builtin import builtin_model
from unetctl.runtime.model import read_model
from unetctl.runtime.spec import ModelSpec

HERE = Path(__file__).parent
HEADERS = (
    *("size of the image", "images", "nuclei", "Dice, mean", "Dice, pooled"),
    *("AP50, mean", "AP50, pooled", "AP, mean", "AP, pooled", "SEG"),
)
CEILING = 0.992
"""AP at 0.5 of the held-out truth after `separate` and `objects_of`: see tests/benchmarks/test_nuclei_score.py."""


def card(spec: ModelSpec, scores: dict[str, Any], limits: dict[str, Any]) -> str:
    """Return the card as Markdown. Raises `ValueError` if the figures are those of other weights."""
    by_weights = {one["weights_sha256"]: one for one in scores["models"].values()}
    if spec.weights_sha256 not in by_weights or limits["weights_sha256"] != spec.weights_sha256:
        raise ValueError("scores.json and limits.json are not of this model: run benchmarks.nuclei.score and limits")
    own, entries, training = by_weights[spec.weights_sha256], read_split(), spec.training
    parts = Counter(one.part for one in entries)
    noise = limits["noise"]
    return (
        (HERE / "card.md")
        .read_text(encoding="utf-8")
        .format(
            depth=spec.depth,
            base_channels=spec.base_channels,
            steps=training["steps"],
            minutes=round(training["seconds"] / 60),
            machine=training["machine"],
            seed=training["seed"],
            created=spec.created[:10],
            weights_sha256=spec.weights_sha256,
            all_images=len(entries),
            fields=len({one.field for one in entries}),
            train_images=parts["train"],
            validation_images=parts["validation"],
            test_images=parts["test"],
            scores=_scores(own),
            spread=_spread(scores),
            ceiling=CEILING,
            diameters=_diameters(limits),
            failures=(HERE / "failures.md").read_text(encoding="utf-8"),
            scales=_scales(limits),
            noise=f"{100 * noise['pixels']:.2f} % of the pixels, {noise['objects_per_mpx']:,.0f} objects a megapixel",
        )
    )


def _scores(own: dict[str, Any]) -> str:
    rows = {"all": own["all"], **own["by_size"]}
    return table(
        HEADERS,
        [
            [name, f"{one['images']}", f"{one['nuclei']:,}", *(f"{one[column]:.3f}" for column in COLUMNS)]
            for name, one in rows.items()
        ],
    )


def _spread(scores: dict[str, Any]) -> str:
    count, found = len(scores["models"]), scores["mean_of_models"]
    if count < 2:
        return ""
    wanted = (("dice_pooled", "Dice"), ("ap50_pooled", "AP at 0.5"), ("ap_pooled", "AP"))
    figures = (f"{name} {found[key]['mean']:.3f} ± {found[key]['spread']:.3f}" for key, name in wanted)
    return (
        f"\nOf {count} models, each with a seed of its own, pooled, mean and standard deviation:\n{', '.join(figures)}."
    )


def _diameters(limits: dict[str, Any]) -> str:
    rows = [
        [group.replace("0 to 8", "under 8").replace("48 to 1000", "over 48"), f"{one['nuclei']}", f"{one['found']:.2f}"]
        for group, one in limits["by_diameter"].items()
    ]
    return table(("diameter of the nucleus", "nuclei", "found, at an IoU of 0.5"), rows)


def _scales(limits: dict[str, Any]) -> str:
    rows = {f"{factor} times": one for factor, one in limits["by_scale"].items()} | {"inverted": limits["inverted"]}
    cells = [
        [name, f"{one['images']}", f"{one['dice_pooled']:.3f}", f"{one['ap50_pooled']:.3f}"]
        for name, one in rows.items()
    ]
    return table(("size", "images", "Dice, pooled", "AP50, pooled"), cells)


def main() -> None:
    """Write the card beside the model."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.nuclei.card PROJECT")
    model = builtin_model("nuclei")
    figures = [json.loads((Path(sys.argv[1]) / name).read_text())["results"] for name in ("scores.json", "limits.json")]
    path = model.with_suffix(".md")
    path.write_text(card(read_model(model).spec, *figures), encoding="utf-8", newline="\n")
    print(path)


if __name__ == "__main__":
    main()
