"""The comparison that lets a model out: the written file on each engine against PyTorch in fp32, logit by logit.

    tiles (golden, real) -> PyTorch, network alone -> logits ---+
                         -> file on an engine      -> logits ---+-> largest difference
                                                   -> labels ---+-> flips, and flips that no rounding explains

It knows no engine: a runner is a function from a file and its inputs to its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetctl.exporter.subject import Subject
from unetctl.runtime.check import logit_tolerance
from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.geometry import align_up, input_px
from unetctl.runtime.golden import Agreement, GoldenTile, combine, compare_labels
from unetctl.runtime.mirror import mirror_indices
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.statistics import array_statistics
from unetctl.trainer.deploy import DeployGraph, golden_tile, image_bytes

KEPT_PX = 256
"""Side of the part of a real image that is compared."""

MAX_IMAGES = 4

Arrays = Mapping[str, NDArray[Any]]
Runner = Callable[[Iterable[Arrays]], Iterator[Arrays]]
"""Runs each set of named inputs through a model; gives its outputs by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One engine on one set of tiles."""

    engine: str
    images: str
    """`golden` or `validation`"""
    tiles: int
    tolerance: float
    """Of a logit."""
    logit_difference: float
    """The largest; NaN if a logit is no number."""
    probability_difference: int
    """The largest, of 255; 0 if the model gives none."""
    agreement: Agreement

    @property
    def passed(self) -> bool:
        """True if every logit is within the tolerance and no label flips beyond twice that."""
        return (
            self.logit_difference <= self.tolerance
            and self.probability_difference <= 1 + 255 * self.tolerance
            and self.agreement.passed
        )

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {**asdict(self), "passed": self.passed}


def real_tiles(subject: Subject, images: Sequence[NDArray[Any]]) -> tuple[GoldenTile, ...]:
    """Cut the middle out of at most `MAX_IMAGES` of the images `[C, H, W]` and run PyTorch on it."""
    if not images:
        return ()
    spec = subject.spec
    chosen = [images[index] for index in sorted({round(at) for at in np.linspace(0, len(images) - 1, MAX_IMAGES)})]
    tiles = []
    for image in chosen:
        shift, scale = spec.normalisation.shift, spec.normalisation.scale
        if spec.normalisation.scope is Scope.IMAGE:
            statistics = array_statistics(image)
            shift, scale = statistics.shift, statistics.scale
        figures = {"shift": np.array(shift, dtype=np.float32), "scale": np.array(scale, dtype=np.float32)}
        tiles.append(golden_tile(subject.network, _middle(image, spec.depth), **figures))
    return tuple(tiles)


def _middle(image: NDArray[Any], depth: int) -> NDArray[Any]:
    """Cut a tile out of the middle of `[C, H, W]`, mirrored where the image is smaller."""
    axes = []
    for size in image.shape[1:]:
        side = input_px(align_up(min(size, KEPT_PX), depth), depth)
        start = (size - side) // 2
        axes.append(mirror_indices(start, start + side, size))
    return np.ascontiguousarray(image[:, axes[0][:, None], axes[1]])


def torch_runner(subject: Subject, outputs: tuple[str, ...]) -> Runner:
    """Run the deploy graph in PyTorch: it shows that golden tiles and weights belong together."""
    graph = DeployGraph(subject.exported, subject.spec, outputs).eval()

    def run(batches: Iterable[Arrays]) -> Iterator[Arrays]:
        for inputs in batches:
            with torch.inference_mode():
                found = graph(*(torch.from_numpy(array) for array in inputs.values()))
            yield {name: one.numpy() for name, one in zip(outputs, found, strict=True)}

    return run


def compare(engine: str, images: str, run: Runner, tiles: Sequence[GoldenTile], subject: Subject) -> ComparisonRow:
    """Compare an engine, which must give `logits` too, with the logits of `tiles`."""
    agreements, logit_difference, probability_difference = [], 0.0, 0
    spec, tolerance = subject.spec, logit_tolerance(tiles, subject.precision)
    for tile, found in zip(tiles, run(_inputs(tile, spec) for tile in tiles), strict=True):
        difference = np.abs(found["logits"][0] - tile.logits).max()
        logit_difference = float(np.maximum(logit_difference, difference))  # unlike max, it keeps a NaN
        agreements.append(compare_labels(found["labels"][0], tile.logits, 2 * tolerance))
        if "probabilities" in found:
            off = np.abs(found["probabilities"][0].astype(np.int16) - _probabilities(tile.logits))
            probability_difference = max(probability_difference, int(off.max()))
    return ComparisonRow(
        engine=engine,
        images=images,
        tiles=len(tiles),
        tolerance=tolerance,
        logit_difference=logit_difference,
        probability_difference=probability_difference,
        agreement=combine(agreements),
    )


def refuse_failures(rows: Sequence[ComparisonRow], *, what: Path) -> None:
    """Raise `CheckFailedError` that names each row which did not pass."""
    failed = [one for one in rows if not one.passed]
    if failed:
        raise CheckFailedError(
            f"{what} was not written: it would not give PyTorch's results",
            cause="; ".join(
                f"{one.engine} on {one.images} tiles: logits differ by {one.logit_difference:.3g} "
                f"({one.tolerance:.3g} allowed), {one.agreement.flips_beyond:,} of {one.agreement.pixels:,} labels "
                f"beyond rounding, {one.agreement.invalid:,} not a number"
                for one in failed
            ),
            saved="the checkpoint is unchanged",
            hint="unetctl doctor shows the versions; the torch engine runs the checkpoint itself",
        )


def _inputs(tile: GoldenTile, spec: ModelSpec) -> Arrays:
    inputs: dict[str, NDArray[Any]] = {"image": image_bytes(tile.image[None])}
    if spec.normalisation.scope is Scope.IMAGE:
        inputs.update(shift=tile.shift, scale=tile.scale)
    return inputs


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.int16]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return np.asarray(np.rint(255 * powers / powers.sum(axis=0)), dtype=np.int16)
