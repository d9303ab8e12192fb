"""Check a model where it will run: its golden tiles through each engine, against PyTorch's own logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import EngineChoice, EngineFactory, EngineRequest
from unetctl.runtime.errors import CheckFailedError, DataError
from unetctl.runtime.golden import Agreement, GoldenTile, combine, compare_labels
from unetctl.runtime.model import Model
from unetctl.runtime.precision import FAR_MARGIN, MAX_FAR_FLIPS, RELATIVE_TOLERANCES, Precision
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.system import processors


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """What one engine made of the golden tiles."""

    engine: str
    precision: str
    tiles: int
    tolerance: float
    """Of a logit; labels may differ where the two best logits are within twice this."""
    allowed_part: float
    """Of the labels, that may differ all the same: none in fp32 and fp16."""
    agreement: Agreement

    @property
    def passed(self) -> bool:
        """True if every difference is a tie within the tolerance, or one of the few that are allowed."""
        found = self.agreement
        return not found.invalid and found.flips_beyond <= self.allowed_part * found.pixels


def logit_tolerance(tiles: Sequence[GoldenTile], precision: str = Precision.FP32) -> float:
    """Return the error that an engine may make in a logit of these tiles. Raises `DataError` for another precision."""
    if precision not in RELATIVE_TOLERANCES:
        known = ", ".join(RELATIVE_TOLERANCES)
        raise DataError(
            f"the model computes in {precision}, and this version knows {known}", hint="use a newer unetctl"
        )
    return RELATIVE_TOLERANCES[precision] * max(float(np.abs(tile.logits).max()) for tile in tiles)


def label_limits(tiles: Sequence[GoldenTile], precision: str) -> tuple[float, float]:
    """Return the error allowed in a logit, and the part of the labels that may differ beyond it. Raises `DataError`.

    In bf16 and int8 labels are held to the limits of a verdict, and logits to none.
    """
    if precision in (Precision.BF16, Precision.INT8):
        return FAR_MARGIN / 2, MAX_FAR_FLIPS
    return logit_tolerance(tiles, precision), 0.0


def check_model(
    model: Model,
    engines: Mapping[str, EngineFactory],
    tolerance: float | None = None,
    *,
    precision: str | None = None,
) -> tuple[CheckRow, ...]:
    """Run the golden tiles of `model` on each engine and compare the labels.

    A logit may be wrong by `tolerance` (default: that of `precision`, which is by default the model's), so a label may
    differ where two logits are within twice that. Raises what an engine raises, and `DataError` for a model without
    golden tiles.
    """
    if not model.golden:
        raise DataError(f"{model.path} has no golden tiles", hint="train again, or use a run that is complete")
    computes_in = precision or model.record.precision
    allowed, part = label_limits(model.golden, computes_in)
    allowed = allowed if tolerance is None else tolerance
    return tuple(
        CheckRow(
            engine=name,
            precision=computes_in,
            tiles=len(model.golden),
            tolerance=allowed,
            allowed_part=part,
            agreement=combine(
                [
                    compare_labels(labels, tile.logits, 2 * allowed)
                    for tile, labels in zip(model.golden, golden_labels(model, open_engine), strict=True)
                ]
            ),
        )
        for name, open_engine in engines.items()
    )


def refuse_other_labels(model: Model, choice: EngineChoice) -> None:
    """Raise `CheckFailedError` if an engine does not give PyTorch's labels on the golden tiles of a model."""
    (row,) = check_model(model, {choice.name: choice.open}, precision=choice.precision(model))
    if not row.passed:
        found = row.agreement
        raise CheckFailedError(
            f"{choice.description} does not give PyTorch's labels with {model.path}",
            cause=f"{found.flips_beyond:,} of {found.pixels:,} labels of its golden tiles differ beyond rounding, "
            f"{found.invalid:,} are not a number",
            hint="another engine or device; and report this with the output of unetctl doctor",
        )


def golden_labels(model: Model, open_engine: EngineFactory) -> list[NDArray[np.uint8]]:
    """Return an engine's labels `[h, w]` of each golden tile."""
    shapes = {tile.image.shape[1:] for tile in model.golden}
    request = EngineRequest(
        model=model,
        shapes=tuple(sorted(((h, w) for h, w in shapes), key=lambda shape: (-shape[0] * shape[1], shape))),
        batch=1,
        slots=1,
        threads=processors(),
    )
    with open_engine(request) as engine:
        return [_labels(engine, tile, model.spec.normalisation.scope) for tile in model.golden]


def _labels(engine: Engine, tile: GoldenTile, scope: Scope) -> NDArray[np.uint8]:
    height, width = tile.image.shape[1:]
    engine.buffer(0, (height, width))[0] = tile.image
    statistics = Statistics(shift=tuple(tile.shift.tolist()), scale=tuple(tile.scale.tolist()))
    engine.submit(0, statistics if scope is Scope.IMAGE else None)
    labels: NDArray[np.uint8] = engine.result(0).labels[0].copy()
    return labels
