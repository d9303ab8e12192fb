"""The only place that prints: results to standard output, all else to standard error.

A reader that has gone (`| head`) does not stop the work: what is left to say is dropped.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TextIO

from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.cli.wording import command_text
from unetctl.runtime.errors import UnetctlError

BOLD, RED, DIM = "1", "1;31", "2"


def prepare_streams() -> None:
    """Make a character that the terminal cannot show visible instead of fatal."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def result(text: str = "") -> None:
    """Print a line of the result."""
    _write(sys.stdout, text)


def result_json(value: Any) -> None:
    """Print a result as JSON, for scripts."""
    result(json.dumps(value, indent=2, default=str))


def heading(text: str) -> None:
    """Print the line above a block of results."""
    result(_styled(text, BOLD, sys.stdout))


def pairs(rows: Iterable[tuple[str, str]], *, indent: int = 2) -> None:
    """Print names and values in two columns; rows without a value are left out, long values go on below."""
    kept = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        first, *more = _wrapped(value, columns() - indent - width - 2)
        result(f"{' ' * indent}{name:<{width}}  {first}")
        for line in more:
            result(f"{' ' * (indent + width)}  {line}")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 2) -> None:
    """Print columns under their names; columns of numbers stand to the right."""
    cells = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    right = [
        bool(cells) and all(row[i][:1].isdigit() or row[i] in ("-", "") for row in cells) for i in range(len(headers))
    ]

    def line(row: Sequence[str]) -> str:
        fields = (f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(row, widths, right, strict=True))
        return (" " * indent + "  ".join(fields)).rstrip()

    result(_styled(line(headers), DIM, sys.stdout))
    for row in cells:
        result(line(row))


def notice(text: str) -> None:
    """Say something that is not the result."""
    _write(sys.stderr, text)


def next_command(*words: str | Path, then: Sequence[str | Path] = ()) -> None:
    """End with what to type next, and after that `then`."""
    notice(f"{_styled('next:', BOLD, sys.stderr)} {command_text(*words)}")
    if then:
        notice(f"      {command_text(*then)}")


def show_error(error: UnetctlError, *, as_json: bool) -> None:
    """Print an error for a person, or as one JSON object for a script."""
    if as_json:
        parts = {"what": error.what, "cause": error.cause, "saved": error.saved, "hint": error.hint}
        _write(sys.stderr, json.dumps({"code": int(exit_code(error)), **parts}))
        return
    first, *more = str(error).splitlines()
    _write(sys.stderr, f"{_styled('error:', RED, sys.stderr)} {first}")
    for line in more:
        _write(sys.stderr, line)


def show_bug(error: BaseException, report: Path | None, *, as_json: bool) -> None:
    """Say that unetctl itself failed, in one line of what happened and one of what to do; the rest is in the report."""
    what = f"unetctl failed in a way that it should not: {str(error).splitlines()[0] if str(error) else 'no message'}"
    hint = "type the command again with --debug to see where"
    if report is not None:
        hint = f"please send the report {report} with what you did"
    if as_json:
        _write(
            sys.stderr, json.dumps({"code": int(ExitCode.BUG), "what": what, "cause": "", "saved": "", "hint": hint})
        )
    else:
        _write(sys.stderr, f"{_styled('error:', RED, sys.stderr)} {what}\n  try:   {hint}")


def columns() -> int:
    """Return the width to write for: the terminal's, and 80 where there is none."""
    return max(40, min(get_terminal_size((80, 24)).columns, 100))


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person watches this stream on a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]


def _styled(text: str, code: str, stream: TextIO | None) -> str:
    plain = (
        os.environ.get("NO_COLOR") or not is_terminal(stream) or (os.name == "nt" and "WT_SESSION" not in os.environ)
    )
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed before the start, as by `>&-`
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL of a pipe without a reader
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
