"""What is compared: trained networks, their errors, and their time and work a pixel."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.baselines.recipe import CELL, Predict, Probability
from benchmarks.baselines.training import Trained
from benchmarks.membrane_protocol import Scored, Slices, choose_and_score
from benchmarks.membrane_scores import cell_probability
from benchmarks.whole_image import load_placed, logits_of
from unetctl.runtime.errors import CheckFailedError
from unetctl.trainer.dataset import Pair

ROUNDS = 5
TOLERANCE = 1e-3
"""Most by which a probability may differ between two ways of computing it: sums in another order."""
WARPING = ("warping_error", "splits_and_mergers")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """A trained network that labels images."""

    name: str
    trained: Trained
    predict: Predict
    ways: Mapping[str, Predict]
    """As in `Baseline`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one way of labelling costs."""

    seconds_a_megapixel: tuple[float, ...]
    """Of each round."""
    multiply_adds_a_pixel: float
    """Of convolutions, with the margins that the image needs."""
    differs: float
    """Largest difference of a probability from the contender's own `predict`."""

    @property
    def median(self) -> float:
        """Seconds a megapixel."""
        return statistics.median(self.seconds_a_megapixel)


def unet_of(path: Path) -> Contender:
    """Return the network of an `unetctl train` checkpoint, or of a run's folder."""
    checkpoint = load_placed(path)
    spec = checkpoint.spec

    def predict(network: nn.Module, pair: Pair) -> Probability:
        return cell_probability(logits_of(network, spec, pair.image)).astype(np.float32)

    trained = Trained(
        network=checkpoint.network.to(memory_format=torch.channels_last),
        steps=spec.training["steps"],
        seconds=spec.training["seconds"],
        loss=float("nan"),
    )
    name = f"U-Net, {spec.base_channels} channels, {spec.training['run']}"
    return Contender(name=name, trained=trained, predict=predict, ways={"whole image": predict})


def errors_of(contender: Contender, validation: Sequence[Pair], test: Sequence[Pair]) -> dict[str, Scored]:
    """Score the test images at thresholds chosen on the validation images, as all networks here are scored.

    NaN for a warping error whose best threshold finds less than half of the cells' area: where nearly all is membrane,
    cells are warped to points and hardly a pixel is wrong, and a network that knows little would win by it.
    """
    choosing, scored = (
        Slices(
            truths=tuple(pair.labels == CELL for pair in pairs),
            probabilities=tuple(contender.predict(contender.trained.network, pair) for pair in pairs),
        )
        for pairs in (validation, test)
    )
    found = choose_and_score(choosing, scored)
    for key in WARPING:
        masks = [one > found[key].threshold for one in choosing.probabilities]
        if 2 * sum(map(np.count_nonzero, masks)) < sum(map(np.count_nonzero, choosing.truths)):
            found[key] = replace(found[key], validation=float("nan"), test=float("nan"))
    return found


def costs_of(contenders: Sequence[Contender], pair: Pair) -> dict[tuple[str, str], Cost]:
    """Time every way of every contender by turns on one image, in fp32, after a first call that is not counted.

    By turns, so that a machine whose speed varies is as slow for one as for the other. Raises `CheckFailedError` if two
    ways of one network disagree.
    """
    all_ways = {(one.name, way): (one, run) for one in contenders for way, run in one.ways.items()}
    counted, differs = {}, {}
    for key, (one, run) in all_ways.items():
        with FlopCounterMode(display=False) as counter:
            found = run(one.trained.network, pair)
        counted[key] = counter.get_total_flops() / 2 / found.size
        differs[key] = float(np.abs(found - one.predict(one.trained.network, pair)[: len(found)]).max())
        if not differs[key] < TOLERANCE:
            raise CheckFailedError(f"{' by '.join(key)} differs by {differs[key]:g} in a probability of cell")
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in all_ways}
    for _ in range(ROUNDS):
        for key, (one, run) in all_ways.items():
            started = time.perf_counter()
            size = run(one.trained.network, pair).size
            seconds[key].append((time.perf_counter() - started) / size * 1e6)
    return {
        key: Cost(seconds_a_megapixel=tuple(seconds[key]), multiply_adds_a_pixel=counted[key], differs=differs[key])
        for key in all_ways
    }
