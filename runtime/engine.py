"""What every engine can do: hold batches in slots, run the network on them, and hand back labels.

    reader thread    buffer(0) -> fill      buffer(1) -> fill      buffer(0) -> fill
    owner thread                submit(0)              submit(1)   result(0)    submit(0)   result(1) ...

An engine owns the memory of its inputs, because the best ones want it pinned, aligned or on the device. Readers fill it
in place; everything else is called by one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError

if TYPE_CHECKING:
    from unetctl.runtime.model import Model
    from unetctl.runtime.spec import ModelSpec
    from unetctl.runtime.statistics import Statistics

INVALID_LABEL = 255
"""What the graph writes where a logit is NaN or infinite; so a model has at most 255 classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one batch gave, on the network's own output area: h = H - s(depth)."""

    labels: NDArray[np.uint8]
    """`[N, h, w]`; `INVALID_LABEL` where a logit is NaN or infinite"""
    probabilities: NDArray[np.uint8] | None
    """`[N, K, h, w]`, round(255 p), if the model has them"""


class Engine(Protocol):
    """A model made ready on a device: a context manager with `slots` batches in flight.

    Every batch has the size that the engine was opened for; the tiles that a short last batch lacks may hold anything.
    """

    slots: int

    def __enter__(self) -> Self:
        """Load the model, compile it and warm up."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for what is in flight and give everything back."""

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the input memory `[N, C, H, W]` (uint8 or uint16) of `slot` for tiles that read `shape` = `(H, W)`."""

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Start `slot` as it was last handed out; `statistics` exactly if the model normalises by the whole image."""

    def result(self, slot: int) -> Result:
        """Wait for `slot`; what is returned is valid until `buffer(slot)` is called again."""


def refuse_invalid(labels: NDArray[np.uint8], classes: int, *, what: str) -> None:
    """Raise `DataError` if a label is no class: the network gave a NaN or an infinity there."""
    if int(labels.max()) >= classes:
        wrong = int(np.count_nonzero(labels >= classes))
        raise DataError(
            f"{what}: the network gave no number (NaN or infinity) at {wrong:,} of {labels.size:,} pixels",
            cause="the model overflows on this image, or its normalisation does not fit it",
            hint="unetctl check the model, and compare the image's values with those that it was trained on",
        )


def refuse_other_outputs(model: Model, outputs: Sequence[str]) -> None:
    """Raise `DataError` unless a model file gives what its record promises."""
    if tuple(outputs) != model.record.outputs:
        raise DataError(
            f"{model.path} gives {', '.join(outputs)}",
            cause=f"its record promises {', '.join(model.record.outputs)}: it was changed after its export",
            hint="export it again",
        )


def slot_bytes(spec: ModelSpec, shape: tuple[int, int], batch: int) -> int:
    """Return the memory of one slot for tiles of `shape`: pixels in, labels and probabilities out."""
    pixel_bytes = len(spec.channels) * (2 if spec.pixel_type == "uint16" else 1)
    return batch * shape[0] * shape[1] * (pixel_bytes + 1 + len(spec.classes))


def normalisation_inputs(
    spec: ModelSpec, statistics: Statistics | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return `shift` and `scale` as float32 `[C]` for a model that normalises by the whole image. Raises `DataError`.

    They are checked here because no label would show it: a ReLU can turn a NaN into a zero.
    """
    if statistics is None:
        raise DataError("the model normalises by the whole image, and no statistics of it were given")
    arrays = np.array(statistics.shift, dtype=np.float32), np.array(statistics.scale, dtype=np.float32)
    if any(one.shape != (len(spec.channels),) or not np.isfinite(one).all() for one in arrays):
        raise DataError(
            f"the image's statistics cannot be used for {len(spec.channels)} channels",
            cause=f"shift {statistics.shift}, scale {statistics.scale}",
        )
    return arrays
