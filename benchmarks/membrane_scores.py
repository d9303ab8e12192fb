"""Trained networks by the ISBI 2012 protocol: `python -m benchmarks.membrane_scores RUN_FOLDER_OR_CHECKPOINT...`.

Each is scored as it is and with its logits averaged over the eight symmetries of the square, beside the figures of the
paper. Networks compute in fp32, whatever they were trained in. Several checkpoints give a mean and a spread.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.membrane_data import CELL, TEST, VALIDATION, breach, read_slices
from benchmarks.membrane_protocol import FAMILIES, MEASURES, THRESHOLDS, Scored, Slices, choose_and_score
from benchmarks.record import mean_and_spread, table, where, write_record
from benchmarks.whole_image import load_placed, logits_of
from tests.data import shared_data
from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.averaging import Averaged
from unetctl.trainer.checkpoint import Checkpoint

WAYS = ("plain", "averaged")
PROTOCOL = {"thresholds": THRESHOLDS, "validation": list(VALIDATION), "test": list(TEST), "precision": "fp32"}
"""What the record says of how all networks were scored."""


def cell_probability(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the soft-max `[H, W]` of the cell class from logits `[2, H, W]`."""
    others = logits[1 - CELL].astype(np.float64) - logits[CELL]
    return np.asarray(1 / (1 + np.exp(np.minimum(others, 700))))  # exp(710) is no float64


def predicted(network: nn.Module, spec: ModelSpec, data: Path, numbers: Sequence[int]) -> Slices:
    """Return truth and prediction of slices of the public stack."""
    images, truths = read_slices(data, numbers)
    return Slices(
        truths=tuple(truths),
        probabilities=tuple(cell_probability(logits_of(network, spec, image[None])) for image in images),
    )


def score_checkpoint(
    checkpoint: Checkpoint, data: Path, *, ways: Sequence[str] = WAYS, families: Sequence[str] = tuple(FAMILIES)
) -> dict[str, dict[str, Scored]]:
    """Score a network: by way of computing, then by measure. Stops if it has seen test slices in training."""
    if reason := breach(checkpoint.spec):
        sys.exit(f"{checkpoint.path} cannot be scored: {reason}")
    networks = {"plain": checkpoint.network, "averaged": Averaged(checkpoint.network)}
    return {
        way: choose_and_score(
            predicted(networks[way], checkpoint.spec, data, VALIDATION),
            predicted(networks[way], checkpoint.spec, data, TEST),
            families,
        )
        for way in ways
    }


def score_table(scores: Sequence[dict[str, dict[str, Scored]]]) -> str:
    """Return the Markdown table: mean and spread over the checkpoints, thresholds in brackets, and the paper's."""
    rows = []
    for measure in MEASURES:
        cells = []
        for way in WAYS:
            found = [one[way][measure.key] for one in scores]
            thresholds = ", ".join(f"{one:g}" for one in sorted({one.threshold for one in found}))
            cells.append(f"{mean_and_spread([one.test for one in found], measure.decimals)} ({thresholds})")
        known = [f"{one:.{measure.decimals}f}" if one is not None else "" for one in (measure.paper, measure.human)]
        rows.append([measure.name, *cells, *known])
    header = ["slices 18-23 (threshold, chosen on 15-17)", "as it is", "averaged over 8 symmetries"]
    return table([*header, "the paper, test stack", "human, test stack"], rows)


def as_json(scores: dict[str, dict[str, Scored]]) -> dict[str, Any]:
    """Return the scores of one checkpoint as plain values."""
    return {way: {key: asdict(one) for key, one in found.items()} for way, found in scores.items()}


def about(spec: ModelSpec) -> dict[str, Any]:
    """Return what the record says of a network beside its scores."""
    keys = ("seed", "steps", "best_step", "seconds", "precision", "settings")
    trained = {key: spec.training.get(key) for key in keys}
    return {"weights_sha256": spec.weights_sha256, "base_channels": spec.base_channels, **trained}


def main() -> None:
    """Score every checkpoint and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.membrane_scores", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="RUN_FOLDER_OR_CHECKPOINT")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where membrane_scores.json goes; default: nowhere"
    )
    arguments = parser.parse_args()
    data = shared_data()
    if data is None:
        sys.exit("NOT RUN: the data are missing; set UNETCTL_DATA to the folder that holds isbi2012-em")
    results, scores, seeds = [], [], []
    for path in arguments.checkpoints:
        checkpoint = load_placed(path)
        scores.append(score_checkpoint(checkpoint, data))
        results.append({"checkpoint": str(path), **about(checkpoint.spec), "scores": as_json(scores[-1])})
        seeds.append(checkpoint.spec.training["seed"])
        if arguments.output is not None:
            record = arguments.output / "membrane_scores.json"
            write_record(record, results=results, settings=PROTOCOL, seeds=seeds, commands=[])
    print(f"{len(scores)} checkpoint(s), fp32, {where()}\n")
    print(score_table(scores))


if __name__ == "__main__":
    main()
