"""The files of an evaluation: labels, and the images and the predictions that belong to them by name.

    labels/cell1.png      images/cell1.tif      predictions/cell1.png, or cell1.labels.ome.tif as `segment` writes it

Every label must have its partners, or the images that are hard could be left out unseen; a partner without a label is
only mentioned, because many more images are segmented than are annotated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unetctl.runtime.errors import DataError, MissingInputError, UsageError
from unetctl.runtime.result_names import RESULT_SUFFIX
from unetctl.trainer.pairs import files_by_stem, natural_key
from unetctl.trainer.raw_pairs import read_header
from unetctl.trainer.settings import DataConfig
from unetctl.trainer.split import split_pairs

SHOWN = 10
"""Problems that are told in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One image to be scored, not yet read."""

    name: str
    """The stem, with the plane's number where the file has several."""
    stem: str
    number: int
    """Of the plane in each of the files, from 0."""
    label: Path
    image: Path | None
    prediction: Path | None


def find_planes(labels: Path, images: Path | None, predictions: Path | None) -> tuple[tuple[Plane, ...], list[str]]:
    """Match the files of up to three folders by stem, or take up to three stacks; return their planes and notices.

    Raises `MissingInputError` for a path that is not there or holds nothing, and `DataError` for a label image that
    cannot be opened.
    """
    problems: list[str] = []
    notices: list[str] = []
    label_of = _files(labels, "label image", problems, notices)
    partners: dict[str, Mapping[str, Path]] = {"image": {}, "prediction": {}}
    for what, path in (("image", images), ("prediction", predictions)):
        if path is None:
            continue
        of_stem = _files(path, what, problems, notices)
        if labels.is_dir() != path.is_dir():
            folder, file = (labels, path) if labels.is_dir() else (path, labels)
            raise MissingInputError(f"{folder} is a folder and {file} a file", hint="give folders only, or stacks only")
        partners[what] = of_stem if labels.is_dir() else dict.fromkeys(label_of, path)
        if extra := sorted(partners[what].keys() - label_of.keys(), key=natural_key):
            notices.append(f"{path}: {len(extra)} {what}(s) without a label are not scored: {_listed(extra)}")
    stems = sorted(label_of, key=natural_key)
    counts = {stem: _plane_count(label_of[stem], problems) for stem in stems}
    refuse(problems)
    planes = (
        Plane(
            name=stem if counts[stem] == 1 else f"{stem}[{number}]",
            stem=stem,
            number=number,
            label=label_of[stem],
            **{what: of_stem.get(stem) for what, of_stem in partners.items()},
        )
        for stem in stems
        for number in range(counts[stem])
    )
    return tuple(planes), notices


def check_partners(planes: Sequence[Plane], images: Path | None, predictions: Path | None) -> None:
    """Raise `DataError` that names the labels without an image, or without a prediction, of those that were given."""
    refuse(
        [
            f"{label}: no {what} of this name in {folder}"
            for what, folder in (("image", images), ("prediction", predictions))
            if folder is not None
            for label in dict.fromkeys(plane.label for plane in planes if getattr(plane, what) is None)
        ]
    )


def part_of(planes: Sequence[Plane], settings: DataConfig, part: str) -> tuple[Plane, ...]:
    """Return the planes of one part of the project's split: `train`, `validation` or `test`. Raises `UsageError`."""
    parts = split_pairs([plane.stem for plane in planes], settings)
    indices: tuple[int, ...] = getattr(parts, part)
    if not indices:
        raise UsageError(f"--part {part}: [data] {part} names no image", hint="--part validation, or name some there")
    return tuple(planes[index] for index in indices)


def refuse(problems: Sequence[str]) -> None:
    """Raise one `DataError` that names every problem, the first of them in full."""
    if problems:
        more = [f"    ... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        lines = [f"    {problem}" for problem in problems[:SHOWN]]
        raise DataError(
            "\n".join([f"the images cannot be scored: {len(problems)} problem(s)", *lines, *more]),
            hint="correct these files, or take their labels away",
        )


def _files(path: Path, what: str, problems: list[str], notices: list[str]) -> dict[str, Path]:
    """Return the files of a folder by stem, or the one file."""
    if not path.exists():
        raise MissingInputError(f"{path} is not there", hint=f"name the folder of the {what}s, or their stack")
    if not path.is_dir():
        return {path.stem: path}
    own = {one.name.removesuffix(RESULT_SUFFIX): one for one in path.iterdir() if one.name.endswith(RESULT_SUFFIX)}
    if what == "prediction" and own:  # with the images and the previews beside them
        notices.append(f"{path}: the results of unetctl segment ({len(own)}) are taken, and nothing else")
        return own
    found = files_by_stem(path, problems, notices)
    if not found:
        raise MissingInputError(f"there is no {what} (PNG, TIFF) in {path}", hint=f"name the folder of the {what}s")
    return found


def _plane_count(path: Path, problems: list[str]) -> int:
    header = read_header(path, problems)
    return header.planes if header else 0


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
