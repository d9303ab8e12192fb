"""`unetctl.toml`: read, and checked to the last key.

An unknown key is refused with the one that was probably meant: a misspelt setting that is silently ignored costs a
night of training.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from unetctl.runtime.errors import MissingInputError, UsageError
from unetctl.runtime.geometry import alignment_px
from unetctl.trainer.config_name import CONFIG_NAME
from unetctl.trainer.presets import with_preset
from unetctl.trainer.settings import (
    PAPER_BORDER_WEIGHT,
    AugmentConfig,
    ClassConfig,
    DataConfig,
    ExportConfig,
    NetworkConfig,
    SegmentConfig,
    TrainConfig,
)

SECTIONS = {
    "data": DataConfig,
    "network": NetworkConfig,
    "train": TrainConfig,
    "augment": AugmentConfig,
    "export": ExportConfig,
    "segment": SegmentConfig,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A project: all that `unetctl.toml` says, with defaults for what it leaves out."""

    path: Path
    """The toml; paths inside are relative to its folder."""
    name: str
    """Of the project, and so of its models."""
    data: DataConfig = field(default_factory=DataConfig)
    classes: tuple[ClassConfig, ...] = ()
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise UsageError(
                f"[project] name = {self.name!r} cannot be",
                cause="it becomes a file name: letters, digits, and . _ - after the first",
                hint=f"correct it in {CONFIG_NAME}",
            )
        step = alignment_px(self.network.depth)
        if isinstance(self.train.tile, int) and self.train.tile % step:
            near = max(step, round(self.train.tile / step) * step)
            raise UsageError(
                f"[train] tile = {self.train.tile} cannot be",
                cause=f"at depth {self.network.depth} a tile must be a multiple of {step} px",
                hint=f'tile = {near}, or tile = "image"',
            )
        self._check_classes()

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.path.parent

    def resolve(self, text: str) -> Path:
        """Return the path that `text` of the toml means."""
        return self.folder / Path(text).expanduser()

    @property
    def border_weight(self) -> float:
        """The weight of borders to use: what is set, or the paper's where touching objects are to be told apart.

        Those are instances, or the class that `border_class` names. Else 0: the weight makes borders wide, which costs
        pixels (decision record 0006).
        """
        if self.train.border_weight is not None:
            return self.train.border_weight
        has_objects = self.data.kind == "instances" or self.train.border_class is not None
        return PAPER_BORDER_WEIGHT if has_objects else 0.0

    def class_values(self) -> tuple[tuple[int, ...], ...]:
        """Return the label values of each class; a class that names none stands for its position."""
        return tuple(one.values or (position,) for position, one in enumerate(self.classes))

    def _check_classes(self) -> None:
        names = [one.name for one in self.classes]
        values = [value for one in self.class_values() for value in one]
        wrong = ""
        if twice := sorted({name for name in names if names.count(name) > 1}):
            wrong = f"the name {twice[0]!r} is given twice"
        elif len(names) == 1 or len(names) > 255:
            wrong = f"{len(names)} classes; 2 to 255 are possible"
        elif self.data.kind == "instances" and names and (len(names) != 2 or any(one.values for one in self.classes)):
            wrong = 'kind = "instances" takes exactly two classes without values: the background, then the objects'
        elif self.data.kind == "instances" and self.train.border_class is not None:
            wrong = 'kind = "instances" takes no border_class: the cells of the weight map are the instances'
        elif repeated := sorted({value for value in values if values.count(value) > 1}):
            wrong = f"the value {repeated[0]} means two classes"
        if wrong:
            raise UsageError("[[classes]] cannot be used", cause=wrong, hint=f"correct it in {CONFIG_NAME}")
        wanted = (("data", "background", self.data.background), ("train", "border_class", self.train.border_class))
        for section, key, name in wanted:
            if name is not None and name not in names:
                raise UsageError(
                    f"[{section}] {key} = {name!r} is no class",
                    cause=f"the classes are {', '.join(names)}" if names else "no [[classes]] are given",
                    hint=_meant(name, names) or "name it in [[classes]]",
                )


def load_config(path: str | Path) -> Config:
    """Read a `unetctl.toml`. Raises `MissingInputError` or `UsageError`, which names the key."""
    path = Path(path).absolute()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(f"{path} is not there", hint="unetctl init makes a project") from error
    except OSError as error:
        raise MissingInputError(f"{path} cannot be read", cause=str(error)) from error
    except ValueError as error:  # bad TOML and bad UTF-8
        raise UsageError(f"{path} is not valid TOML", cause=str(error)) from error

    _refuse_unknown(values, ["project", "classes", *SECTIONS], "section", path)
    values = with_preset(values)
    project = _table(values.get("project", {}), "[project]", path)
    _refuse_unknown(project, ["name"], "key in [project]", path)
    name = _typed(project.get("name", _as_name(path.parent.name)), str, "[project] name", path)
    entries = values.get("classes", [])
    if not isinstance(entries, list):
        raise UsageError(f"{path}: [classes] must be written as [[classes]], one block a class")
    classes = tuple(_section(ClassConfig, one, f"[[classes]] number {k + 1}", path) for k, one in enumerate(entries))
    sections: dict[str, Any] = {
        key: _section(cls, values.get(key, {}), f"[{key}]", path) for key, cls in SECTIONS.items()
    }
    return Config(path=path, name=name, classes=classes, **sections)


def _as_name(folder: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._") or "project"


def _section(cls: type[T], values: Any, where: str, path: Path) -> T:
    """Make a section of `cls` from a table of the toml."""
    values = _table(values, where, path)
    hints = get_type_hints(cls)
    _refuse_unknown(values, list(hints), f"key in {where}", path)
    for one in fields(cls):  # type: ignore[arg-type]
        if one.default is MISSING and one.name not in values:
            raise UsageError(f"{path}: {where} lacks {one.name}")
    return cls(**{key: _typed(value, hints[key], f"{where} {key}", path) for key, value in values.items()})


def _table(values: Any, where: str, path: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UsageError(f"{path}: {where} must be a table, not {values!r}")
    return values


def _typed(value: Any, hint: Any, where: str, path: Path) -> Any:
    """Return `value` as `hint` wants it (a list as a tuple, an integer as a float where one is meant), or refuse it."""
    for choice in get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,):
        if get_origin(choice) is Literal and value in get_args(choice) and isinstance(value, str):
            return value
        if get_origin(choice) is tuple and isinstance(value, list):
            return tuple(_typed(one, get_args(choice)[0], f"{where}, each item", path) for one in value)
        if choice is float and type(value) in (int, float):
            return float(value)
        if choice in (int, str, bool) and type(value) is choice:
            return value
    named = _names(hint)
    close = _meant(value, re.findall(r'"([^"]+)"', named)) if isinstance(value, str) else ""
    raise UsageError(f"{path}: {where} = {value!r} cannot be", cause=f"it must be {named}", hint=close)


def _names(hint: Any) -> str:
    """Say in words what a type hint takes."""
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(_names(one) for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is Literal:
        return " or ".join(f'"{one}"' for one in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list, each item {_names(get_args(hint)[0])}"
    return {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}[hint]


def _refuse_unknown(found: dict[str, Any], known: list[str], what: str, path: Path) -> None:
    for key in found:
        if key not in known:
            raise UsageError(
                f"{path}: unknown {what}: {key}",
                cause=f"known are {', '.join(known)}",
                hint=_meant(key, known),
            )


def _meant(found: str, known: list[str]) -> str:
    close = difflib.get_close_matches(found, known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""
