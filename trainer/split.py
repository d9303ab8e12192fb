"""Which pairs train, which choose the best weights (validation) and which are scored once at the end (test).

A fraction takes a whole stretch of the natural order, because neighbours (slices of a volume, frames of a film) look
alike: drawn at random, they would let the network be judged on what it has almost seen.

    0 1 2 3 4 5 6 7 8 9
    |-- train --|val|test|
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from unetctl.runtime.errors import UsageError
from unetctl.trainer.settings import RANGE, DataConfig, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Indices of the pairs of each part, in natural order."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_pairs(stems: Sequence[str], settings: DataConfig) -> Parts:
    """Split the pairs whose stems, in natural order, are `stems`. Raises `UsageError` where a part cannot be."""
    rest = list(range(len(stems)))
    chosen: dict[str, list[int]] = {"train": _chosen(settings.train, stems, "train")}
    for part in ("test", "validation"):  # lists first: a fraction is taken from what they leave
        wanted: Split = getattr(settings, part)
        chosen[part] = [] if isinstance(wanted, float) else _chosen(wanted, stems, part)
    for part, others in (("train", ("validation", "test")), ("validation", ("test",))):
        for other in others:
            if both := sorted(set(chosen[part]) & set(chosen[other])):
                raise UsageError(
                    f"[data] {part} and {other} both hold {stems[both[0]]} (index {both[0]})",
                    cause=f"what is trained on cannot judge; {len(both)} pair(s) are in both",
                    hint="correct the lists in unetctl.toml",
                )
    taken = {index for indices in chosen.values() for index in indices}
    rest = [index for index in rest if index not in taken]
    for part in ("test", "validation"):
        wanted = getattr(settings, part)
        if isinstance(wanted, float) and wanted:
            count = max(1, round(wanted * len(stems)))
            chosen[part], rest = rest[-count:], rest[:-count]
    parts = Parts(
        train=tuple(chosen["train"] if settings.train else rest),
        validation=tuple(chosen["validation"]),
        test=tuple(chosen["test"]),
    )
    for name, indices, need in (
        ("train", parts.train, "to train on"),
        ("validation", parts.validation, "to choose the best weights by"),
    ):
        if not indices:
            raise UsageError(
                f"[data] {name}: no pair is left {need}, of {len(stems)}",
                hint="at least two pairs are needed: one to train on and one for validation",
            )
    return parts


def _chosen(items: Sequence[str], stems: Sequence[str], part: str) -> list[int]:
    """Return the indices that the items mean, each once, in order."""
    found: set[int] = set()
    for item in items:
        if match := RANGE.fullmatch(item):
            first, last = int(match[1]), int(match[2] or match[1])
            indices = set(range(first, last + 1))
            wrong = f"there are pairs 0 to {len(stems) - 1}" if last >= len(stems) else ""
        else:
            indices = {index for index, stem in enumerate(stems) if fnmatchcase(stem, item)}
            wrong = "" if indices else f"no file has such a name; the first is {stems[0]}"
        if wrong:
            raise UsageError(f"[data] {part}: {item!r} cannot be", cause=wrong, hint="correct it in unetctl.toml")
        found |= indices
    return sorted(found)
