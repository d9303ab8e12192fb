"""Figures, paths and commands in the words and units of people. ASCII only, so that any terminal can show them."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path


def bytes_text(count: float) -> str:
    """Return a size in binary units with three digits, as `1.21 GiB`."""
    return _scaled(count, ("B", "KiB", "MiB", "GiB", "TiB"), 1024)


def pixels_text(count: float) -> str:
    """Return a number of pixels, as `67.1 Mpx`."""
    return _scaled(count, ("px", "kpx", "Mpx", "Gpx"), 1000)


def count_text(count: float) -> str:
    """Return a large number, as `1.71 G`."""
    return _scaled(count, ("", "k", "M", "G", "T", "P", "E"), 1000).strip()


def seconds_text(seconds: float) -> str:
    """Return a length of time, as `0.42 s`, `17 s`, `3 min 5 s` or `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent_text(share: float) -> str:
    """Return a share of 0 to 1 as a percentage, as `97.3 %`; never 0 or 100 where something is left."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f} %" if 0 < share < 1 else f"{100 * share:.0f} %"


def size_text(yx: tuple[int, int]) -> str:
    """Return the size of an image, width first as people say it: `8192 x 4096 px`."""
    return f"{yx[1]} x {yx[0]} px"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, as `1 tile` or `36 tiles`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def time_text(iso: str) -> str:
    """Return an ISO 8601 time to the minute, as `2026-11-20 10:05 UTC`; anything else unchanged."""
    if iso[10:11] == "T" and (iso.endswith(("+00:00", "Z"))):
        return f"{iso[:10]} {iso[11:16]} UTC"
    return iso


def path_text(path: str | Path) -> str:
    """Return a path as the shortest that works from here, with control characters made visible."""
    text = str(path)
    if Path(text).is_absolute():
        try:
            relative = os.path.relpath(text)
        except (OSError, ValueError):  # another drive of Windows, or a current folder that is gone
            relative = text
        if not relative.startswith(os.pardir):
            text = relative
    return safe_text(text)


def safe_text(text: str) -> str:
    """Make characters visible that could move the cursor or end the line, as names of files may hold them."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)


def command_text(*words: str | Path) -> str:
    """Return a command that can be pasted into a shell; a path with a leading dash gets `./` before it."""
    listed = [_word(one) for one in words]
    return subprocess.list2cmdline(listed) if os.name == "nt" else shlex.join(listed)


def _word(word: str | Path) -> str:
    if isinstance(word, str):
        return word
    text = path_text(word)
    return f"./{text}" if text.startswith("-") else text


def _scaled(count: float, units: Sequence[str], step: int) -> str:
    """Return a count in the unit that leaves one to four digits before the point, of three that are shown."""
    power = 0
    while count >= step and power < len(units) - 1:
        count, power = count / step, power + 1
    digits = 0 if power == 0 or count >= 100 else 1 if count >= 10 else 2
    return f"{count:.{digits}f} {units[power]}"
