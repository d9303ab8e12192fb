"""Which label belongs to which image: files of two folders matched by stem, or the planes of two stacks by number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unetctl.runtime.errors import MissingInputError
from unetctl.runtime.result_names import is_result_name

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
"""What is taken from a folder; labels in a JPEG are refused when they are opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePair:
    """An image file and its label file, each of one plane or more."""

    stem: str
    image: Path
    label: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPairs:
    """The pairs in natural order, what does not fit, and what is worth saying."""

    pairs: tuple[FilePair, ...]
    problems: tuple[str, ...]
    notices: tuple[str, ...]


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key in which 2 comes before 10."""
    parts = re.findall(r"\d+|\D+", text.casefold())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def find_pairs(images: Path, labels: Path) -> FoundPairs:
    """Match the files of two folders by stem, or take two files as the one pair.

    A file without its other half and a stem that stands twice are problems. Raises `MissingInputError` for a path that
    is not there, or a folder beside a file.
    """
    for path, what in ((images, "images"), (labels, "labels")):
        if not path.exists():
            raise MissingInputError(
                f"[data] {what}: {path} is not there",
                hint=f"put the {what} there, or name their folder or stack in the toml or with --data",
            )
    if images.is_dir() != labels.is_dir():
        folder, file = (images, labels) if images.is_dir() else (labels, images)
        raise MissingInputError(
            f"[data] {folder} is a folder and {file} a file", hint="give two folders, or two stacks of as many planes"
        )
    if not images.is_dir():
        return FoundPairs(pairs=(FilePair(stem=images.stem, image=images, label=labels),), problems=(), notices=())

    problems: list[str] = []
    notices: list[str] = []
    image_of = _without_results(images, files_by_stem(images, problems, notices), notices)
    label_of = files_by_stem(labels, problems, notices)
    problems += [f"{path}: no label of this name in {labels}" for path in _unmatched(image_of, label_of)]
    problems += [f"{path}: no image of this name in {images}" for path in _unmatched(label_of, image_of)]
    pairs = tuple(
        FilePair(stem=stem, image=image_of[stem], label=label_of[stem])
        for stem in sorted(image_of.keys() & label_of.keys(), key=natural_key)
    )
    if not image_of and not label_of:
        raise MissingInputError(
            f"[data] there is no PNG, TIFF or JPEG image in {images}", hint="put pairs of images and labels there"
        )
    return FoundPairs(pairs=pairs, problems=tuple(problems), notices=tuple(notices))


def files_by_stem(folder: Path, problems: list[str], notices: list[str]) -> dict[str, Path]:
    """Return the images of a folder by their stems, in natural order; a stem that stands twice is a problem."""
    found: dict[str, Path] = {}
    others: list[str] = []
    for path in sorted(folder.iterdir(), key=lambda one: natural_key(one.name)):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() not in SUFFIXES:
            others.append(path.name)
        elif path.stem in found:
            problems.append(f"{path}: {found[path.stem].name} has the same name before the suffix")
        else:
            found[path.stem] = path
    if others:
        names = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        notices.append(f"{folder}: not taken, because they are no PNG, TIFF or JPEG: {names}")
    return found


def _without_results(folder: Path, found: dict[str, Path], notices: list[str]) -> dict[str, Path]:
    """Leave out what `unetctl segment` wrote beside the images, which would be images without labels."""
    kept = {stem: path for stem, path in found.items() if not is_result_name(path)}
    if left := len(found) - len(kept):
        notices.append(f"{folder}: not taken, because unetctl segment made them: {left} results and previews")
    return kept


def _unmatched(these: dict[str, Path], those: dict[str, Path]) -> Iterable[Path]:
    return (these[stem] for stem in sorted(these.keys() - those.keys(), key=natural_key))
