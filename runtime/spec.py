"""What a model says of itself: the `ModelSpec` that training writes, and the `ExportRecord` that export adds.

Both are data, frozen, and travel as JSON: in a checkpoint's safetensors header and in an ONNX file's metadata, under
`SPEC_KEY` and `EXPORT_KEY`. A file without them, or of an unknown version, is refused with the key that is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from unetctl.runtime.errors import DataError

FORMAT_VERSION = 1
SPEC_KEY = "unetctl.spec"
EXPORT_KEY = "unetctl.export"
GOLDEN_KEY = "unetctl.golden"
ARCHITECTURE = "unet-2015"
"""Valid 3x3 convolutions as in Ronneberger, Fischer and Brox (2015), figure 1."""
MAX_AVERAGING = 8
"""The symmetries of the square: there are no more versions of a tile that keep its pixels."""


class PixelType(StrEnum):
    """The dtype of the images that a model takes."""

    UINT8 = "uint8"
    UINT16 = "uint16"


class Scope(StrEnum):
    """Where a normalisation's figures come from."""

    MODEL = "model"
    """Constants of the model: mean and standard deviation of its training pixels."""
    IMAGE = "image"
    """Mean and standard deviation of each whole plane, measured before its first tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """`(pixel - shift) * scale`, one value a channel; with scope `image` the figures are measured, and empty here."""

    scope: Scope
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassInfo:
    """One class: the label value is its position in `ModelSpec.classes`."""

    name: str
    colour: str
    """`#rrggbb`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """All that training knows and a runtime needs."""

    name: str
    depth: int
    base_channels: int
    channels: tuple[str, ...]
    """The meaning of each image channel, in order, as `("gray",)` or `("red", "green", "blue")`."""
    pixel_type: PixelType
    normalisation: Normalisation
    classes: tuple[ClassInfo, ...]
    background: int | None = None
    """The class that means that nothing is there, where there is one."""
    pixel_size_um: float | None = None
    weights_sha256: str
    """Of the fp32 tensors: see `unetctl.trainer.checkpoint`."""
    created: str
    """ISO 8601, UTC, when training wrote it."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained and what it scored: plain JSON values."""
    architecture: str = ARCHITECTURE

    def to_json(self) -> str:
        """Return the spec as JSON of one line."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """Read a spec; `source` names the file in the errors. Raises `DataError`."""
        values = _load(text, what=f"the model spec in {source}", cls=cls)
        try:
            values["channels"] = tuple(values["channels"])
            values["pixel_type"] = PixelType(values["pixel_type"])
            normalisation = values["normalisation"]
            values["normalisation"] = Normalisation(
                scope=Scope(normalisation["scope"]),
                shift=tuple(normalisation["shift"]),
                scale=tuple(normalisation["scale"]),
            )
            values["classes"] = tuple(ClassInfo(**one) for one in values["classes"])
            spec = cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{source}: the model spec is malformed", cause=str(error)) from error
        spec._check(source)
        return spec

    def _check(self, source: str) -> None:
        wrong = ""
        whole = (self.depth, self.base_channels, 0 if self.background is None else self.background)
        numbers = (*self.normalisation.shift, *self.normalisation.scale, self.pixel_size_um or 0)
        if not all(type(one) is int for one in whole):
            wrong = f"depth, base_channels, background: {whole}"
        elif not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
            wrong = f"shift, scale, pixel_size_um: {numbers}"
        elif self.architecture != ARCHITECTURE:
            wrong = f"architecture {self.architecture!r}; this version knows {ARCHITECTURE!r}"
        elif not 1 <= self.depth <= 8 or self.base_channels < 1:
            wrong = f"depth {self.depth} with {self.base_channels} base channels"
        elif not 2 <= len(self.classes) <= 255:
            wrong = f"{len(self.classes)} classes; labels are uint8 and 255 means no number, so 2 to 255 are possible"
        elif self.background is not None and not 0 <= self.background < len(self.classes):
            wrong = f"background class {self.background} of {len(self.classes)}"
        elif self.normalisation.scope is Scope.MODEL and not (
            len(self.normalisation.shift) == len(self.normalisation.scale) == len(self.channels)
        ):
            wrong = f"normalisation for {len(self.normalisation.shift)} channels of {len(self.channels)}"
        if wrong:
            raise DataError(f"{source}: the model spec cannot be used", cause=wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """What export added: how the file was made and how near it is to PyTorch."""

    created: str
    precision: str
    outputs: tuple[str, ...]
    """`("labels",)` or `("labels", "probabilities")`"""
    comparison: Mapping[str, Any]
    """The figures of the comparison that let the file out, by engine."""
    versions: Mapping[str, str]
    averaging: int = 1
    """Symmetric versions of a tile whose logits the graph averages, one pass of the network each; 1 if it does not."""

    def to_json(self) -> str:
        """Return the record as JSON of one line."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """Read a record; `source` names the file in the errors. Raises `DataError`."""
        values = _load(text, what=f"the export record in {source}", cls=cls, optional={"averaging"})
        outputs, averaging = values["outputs"], values.get("averaging", 1)
        if not isinstance(outputs, list):
            raise DataError(f"{source}: the export record is malformed", cause=f"outputs {outputs!r}")
        if type(averaging) is not int or not 1 <= averaging <= MAX_AVERAGING:
            raise DataError(f"{source}: the export record is malformed", cause=f"averaging {averaging!r}")
        values["outputs"] = tuple(outputs)
        return cls(**values)


def _load(
    text: str, *, what: str, cls: type[ModelSpec] | type[ExportRecord], optional: Set[str] = frozenset()
) -> dict[str, Any]:
    """Parse JSON of `cls`, check its version and that no field is missing or unknown, and return the fields.

    `optional` are those that files of earlier versions of unetctl lack.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataError(f"{what} is not JSON", cause=str(error)) from error
    if not isinstance(values, dict):
        raise DataError(f"{what} is not a JSON object")
    version = values.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{what} has format_version {version}, and this version of unetctl reads {FORMAT_VERSION}",
            hint="use the version of unetctl that made it, or a newer one",
        )
    known = {one.name for one in fields(cls)}
    if missing := sorted(known - values.keys() - optional):
        raise DataError(f"{what} lacks {', '.join(missing)}")
    if unknown := sorted(values.keys() - known):
        raise DataError(f"{what} has unknown keys: {', '.join(unknown)}")
    return values
