"""Options that are more than a word: sizes of memory, lists of numbers."""

from __future__ import annotations

import re

from unetctl.runtime.errors import UsageError

_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}


def parse_bytes(text: str, *, option: str) -> int:
    """Read a size of memory: `4GiB`, `4G` and `4 GB` all mean 4 x 2^30 bytes. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", text.strip().lower())
    count = float(match[1]) * 2 ** _UNITS[match[2]] if match else 0
    if not 1 <= count < 2**60:
        raise UsageError(
            f"{option} {text!r} is no size of memory",
            cause="it is a number with a unit",
            hint=f"{option} 4GiB, or 800MiB",
        )
    return int(count)


def parse_channels(text: str, *, option: str) -> tuple[int, ...]:
    """Read channels as people count them, `1,2,3`, and return them counted from 0. Raises `UsageError`."""
    plain = text.replace(" ", "")
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", plain):
        raise UsageError(f"{option} {text!r} is no list of channels", cause="counted from 1", hint=f"{option} 1,2,3")
    return tuple(int(one) - 1 for one in plain.split(","))


def parse_names(text: str, known: tuple[str, ...], *, option: str) -> tuple[str, ...]:
    """Read a list of names, each one of `known` and given once. Raises `UsageError`."""
    names = tuple(one.strip() for one in text.split(","))
    for name in names:
        if name not in known or names.count(name) > 1:
            found = f"{name!r} is given twice" if name in known else f"there is no {name!r}"
            raise UsageError(f"{option} {text!r} cannot be", cause=found, hint=f"{option} {','.join(known)}")
    return names


def check_count(value: int | None, lowest: int, *, option: str) -> None:
    """Raise `UsageError` unless `value` is a count that can be."""
    if value is not None and not lowest <= value < 2**31:
        raise UsageError(f"{option} {value} cannot be", cause=f"it must be {lowest} or more")


def parse_counts(text: str, *, option: str, example: str) -> tuple[int, ...]:
    """Read a list of whole numbers from 1 up, each given once. Raises `UsageError`."""
    plain = text.replace(" ", "")
    counts = tuple(int(one) for one in plain.split(",")) if re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", plain) else ()
    if not counts or len(set(counts)) != len(counts):
        raise UsageError(
            f"{option} {text!r} cannot be",
            cause="a number is given twice" if counts else "it is a list of whole numbers",
            hint=f"{option} {example}",
        )
    return counts
