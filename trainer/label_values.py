"""From the values in label images to classes, and from classes to names and colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError
from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.config import Config

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")
"""Okabe and Ito's colours, which colour-blind people can tell apart; they are taken in turn."""

NOTHING_COLOUR = "#000000"
"""The background's colour, where none is given."""

MANY_CLASSES = 8
"""With more values than this, the labels may well number objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """The classes, and which label values mean them."""

    classes: tuple[ClassInfo, ...]
    values: tuple[tuple[int, ...], ...]
    """For each class; empty for instances, where every value but 0 means class 1."""
    background: int | None
    notice: str = ""
    """What was concluded from the values and should be said aloud."""

    def unknown(self, values: Iterable[int]) -> list[int]:
        """Return those of `values` that mean no class."""
        if not self.values:  # objects have numbers from 1
            return sorted(value for value in values if value < 0)
        known = {value for one in self.values for value in one}
        return sorted(value for value in values if value not in known)

    def to_classes(self, labels: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return the class of each pixel of `labels`, of which all values are known."""
        classes = np.zeros(labels.shape, np.uint8)
        if not self.values:
            np.not_equal(labels, 0, out=classes, casting="unsafe")
            return classes
        for index, values in enumerate(self.values):
            for value in values:
                classes[labels == value] = index
        return classes


def class_map(config: Config, found: Sequence[int]) -> ClassMap:
    """Return the classes of the toml, or those that the values `found` in all label images show.

    Without `[[classes]]` the values must be 0 to K-1, or 0 and 255. Raises `DataError` otherwise.
    """
    instances = config.data.kind == "instances"
    names = [one.name for one in config.classes]
    values: tuple[tuple[int, ...], ...] = () if instances else config.class_values()
    notice = ""
    if instances and not names:
        names = ["background", "object"]
    elif not names and tuple(found) == (0, 255):
        names, values = ["value 0", "value 255"], ((0,), (255,))
        notice = "labels hold 0 and 255: they are taken as two classes, 0 and 1; name them under [[classes]]"
    elif not names:
        if tuple(found) != tuple(range(len(found))) or not 2 <= len(found) <= 255:
            shown = ", ".join(map(str, found[:12])) + (", ..." if len(found) > 12 else "")
            raise DataError(
                f"the label images hold the values {shown}",
                cause="without [[classes]] they must be 0, 1, 2 and so on without a gap, 255 at most, or 0 and 255",
                hint='name the classes and their values under [[classes]], or set kind = "instances" for objects',
            )
        names, values = [f"class {value}" for value in found], tuple((value,) for value in found)
        notice = f"labels hold 0 to {len(found) - 1}: taken as {len(found)} classes; name them under [[classes]]"
        if len(found) > MANY_CLASSES:
            notice += ', or set kind = "instances" under [data] if they number objects'
    background = 0 if instances else names.index(config.data.background) if config.data.background else None
    given = [one.colour for one in config.classes] or [None] * len(names)
    colours = [
        colour or (NOTHING_COLOUR if index == background else PALETTE[index % len(PALETTE)])
        for index, colour in enumerate(given)
    ]
    classes = tuple(ClassInfo(name=name, colour=colour) for name, colour in zip(names, colours, strict=True))
    return ClassMap(classes=classes, values=values, background=background, notice=notice)


def border_class(config: Config, classes: ClassMap) -> int:
    """Return the class whose regions are the cells of the weight map: the one named, else the last but background."""
    if config.train.border_class is not None:
        return [one.name for one in classes.classes].index(config.train.border_class)
    last = len(classes.classes) - 1
    return last - 1 if last == classes.background else last
