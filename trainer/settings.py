"""The knobs of training, with their units and defaults: the sections of `unetctl.toml`.

Every section is a frozen dataclass that refuses impossible values, however it is made: read from a file by
`unetctl.trainer.config`, or changed by `dataclasses.replace`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from unetctl.runtime.errors import UsageError

Split = float | tuple[str, ...]
"""Part of the pairs: a fraction, or items: index ranges (`"15-17"`) or patterns of file stems (`"mouse3_*"`)."""

RANGE = re.compile(r"(\d+)(?:-(\d+))?")
"""An index, or a range of which both ends are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """`[data]`: where images and labels are and which of them are kept apart."""

    images: str = "images"
    """Folder of images, or one TIFF stack whose planes are the images; relative to the toml."""
    labels: str = "labels"
    """The same for the labels; files are matched by stem, planes by number."""
    kind: Literal["classes", "instances"] = "classes"
    """What label values mean: classes, or 0 for the background and one value for each object."""
    validation: Split = 0.2
    """Part that chooses the best weights; a fraction takes the last part in natural order."""
    test: Split = ()
    """Part that is scored once, at the end; a fraction is taken from the very end."""
    train: tuple[str, ...] = ()
    """Part that is trained on; all the rest where nothing is said."""
    normalise: Literal["model", "image"] = "model"
    """Mean and standard deviation of all training pixels, or of each plane by itself."""
    pixel_size_um: float | None = None
    """Micrometres a pixel; what the images say where nothing is said."""
    background: str | None = None
    """Name of the class that means that nothing is there."""

    def __post_init__(self) -> None:
        for key in ("validation", "test"):
            part = getattr(self, key)
            if isinstance(part, float) and not 0 <= part < 1:
                _refuse("data", key, part, "a fraction must be at least 0 and below 1")
        for key in ("validation", "test", "train"):
            part = getattr(self, key)
            for item in part if isinstance(part, tuple) else ():
                match = RANGE.fullmatch(item)
                if not item or (match and match[2] and int(match[2]) < int(match[1])):
                    _refuse(
                        "data", key, item, 'an item is an index, a range such as "15-17", or a pattern of file stems'
                    )
        if self.pixel_size_um is not None and not 0 < self.pixel_size_um < 1e6:
            _refuse("data", "pixel_size_um", self.pixel_size_um, "micrometres a pixel must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassConfig:
    """`[[classes]]`: one class; the model writes its position."""

    name: str
    """What it is called in reports and results."""
    values: tuple[int, ...] = ()
    """Values in the label images that mean this class; its position where nothing is said."""
    colour: str | None = None
    """`#rrggbb`; from a palette where nothing is said."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            _refuse("classes", "name", self.name, "a class needs a name")
        if self.colour is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", self.colour):
            _refuse("classes", "colour", self.colour, 'a colour is written as "#rrggbb"')
        if any(value < 0 for value in self.values):
            _refuse("classes", "values", list(self.values), "label values cannot be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """`[network]`: the size of the U-Net."""

    depth: int = 4
    """Poolings; the paper's 4."""
    base_channels: int = 32
    """Channels of the first level, doubled at each level down; the paper's 64."""
    dropout: float = 0.5
    """Part of the values that is dropped at the end of the contracting path, 0 to below 1."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 8:
            _refuse("network", "depth", self.depth, "1 to 8 poolings are possible")
        if not 1 <= self.base_channels <= 1024:
            _refuse("network", "base_channels", self.base_channels, "1 to 1024 channels are possible")
        if not 0 <= self.dropout < 1:
            _refuse("network", "dropout", self.dropout, "must be at least 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """`[train]`: the recipe."""

    preset: Literal["best", "paper"] = "best"
    """What the keys that are not given mean: these defaults, or those of `unetctl.trainer.presets`."""
    steps: int = 1500
    """Changes of the weights."""
    batch: int = 1
    """Tiles a step, one after another through the network; of each process, where there are several."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`sgd` is the paper's, with its momentum of 0.99."""
    learning_rate: float | None = None
    """Its peak; where nothing is said, `DEFAULT_LEARNING_RATE` of the optimizer."""
    weight_decay: float = 1e-4
    """Pull of the weights towards 0."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """One cycle rises over the first quarter of the steps and falls to nothing over the rest."""
    tile: int | Literal["image"] = 256
    """Kept pixels a side, a multiple of 2^depth, or whole images."""
    foreground: float = 0.33
    """Part of the tiles that is placed to show a pixel of a class that is not background."""
    average: float = 0.999
    """Decay a step of the averaged copy of the weights, which is what is validated and kept; 0 keeps the last."""
    clip_norm: float = 1.0
    """Longest gradient over all weights; a longer one is shortened to it. 0 leaves gradients as they are."""
    seed: int = 0
    """All random streams follow from it and the step's number."""
    validate_every: int | Literal["epoch"] = 100
    """Steps between validations, or as many as there are training images; each also saves what `--resume` needs."""
    patience: int = 0
    """Validations without a better score after which training stops; 0 takes all steps."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 where the processor has it."""
    border_weight: float | None = None
    """w0 of the paper's weight map; 0 leaves the borders out. `Config.border_weight` where nothing is said."""
    border_sigma: float = 5.0
    """Pixels over which the border weight falls off."""
    class_balance: bool = False
    """Weigh classes by the inverse of their frequency too; for a class that is rare everywhere."""
    border_class: str | None = None
    """Class whose connected regions are the cells of the weight map; the one that is not background, else the last."""

    def __post_init__(self) -> None:
        for key, lowest in (
            ("steps", 1),
            ("batch", 1),
            ("clip_norm", 0),
            ("seed", 0),
            ("validate_every", 1),
            ("patience", 0),
            ("border_weight", 0),
            ("weight_decay", 0),
        ):
            value = getattr(self, key)
            if value not in ("epoch", None) and not lowest <= value < 2**63:
                _refuse("train", key, value, f"must be at least {lowest}")
        if not 0 <= self.foreground <= 1:
            _refuse("train", "foreground", self.foreground, "must be 0 to 1")
        if not 0 <= self.average < 1:
            _refuse("train", "average", self.average, "must be at least 0 and below 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < 10:
            _refuse("train", "learning_rate", self.learning_rate, "must be above 0 and below 10")
        if not 0 < self.border_sigma < 1e4:
            _refuse("train", "border_sigma", self.border_sigma, "must be above 0 px")
        if isinstance(self.tile, int) and not 1 <= self.tile <= 16384:
            _refuse("train", "tile", self.tile, 'must be 1 to 16384 px, or "image"')

    @property
    def peak_rate(self) -> float:
        """The learning rate to use."""
        return self.learning_rate or DEFAULT_LEARNING_RATE[self.optimizer]


PAPER_BORDER_WEIGHT = 10.0
"""w0 of Ronneberger et al. 2015."""

DEFAULT_LEARNING_RATE = {"adamw": 2e-3, "sgd": 1e-3}
"""Peaks that worked on the ISBI 2012 membranes; a momentum of 0.99 multiplies the rate of `sgd` by 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """`[augment]`: how samples are varied."""

    elastic_px: float = 10.0
    """Standard deviation of the displacements on a 3x3 grid; 0 leaves them out."""
    rotation_deg: float = 180.0
    """Rotation drawn from -x to x."""
    shift_px: float = 16.0
    """Moves the tile by -x to x beyond the place drawn inside the image."""
    flips: bool = True
    """Mirror along both axes at random."""
    contrast: float = 0.2
    """Gray values are scaled by a factor from 1 - x to 1 + x."""
    brightness: float = 0.2
    """And moved by -x to x standard deviations."""
    blur_px: float = 1.0
    """Half of the tiles are blurred by a Gaussian of a standard deviation from 0 to x."""

    def __post_init__(self) -> None:
        limits = {
            "elastic_px": 1e3,
            "rotation_deg": 180,
            "shift_px": 1e4,
            "contrast": 0.99,
            "brightness": 10,
            "blur_px": 50,
        }
        for key, most in limits.items():
            if not 0 <= getattr(self, key) <= most:
                _refuse("augment", key, getattr(self, key), f"must be 0 to {most:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """`[export]`: what `unetctl export` takes."""

    model: str | None = None
    """Checkpoint to export, relative to the toml; the newest complete run where nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentConfig:
    """`[segment]`: what `unetctl segment` takes."""

    model: str | None = None
    """ONNX file to segment with, relative to the toml; the newest export where nothing is said."""


def _refuse(section: str, key: str, found: Any, rule: str) -> None:
    raise UsageError(f"[{section}] {key} = {found!r} cannot be", cause=rule, hint="correct it in unetctl.toml")
