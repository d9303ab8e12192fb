"""The only place that prints: results to standard output, all else to standard error.

A reader that has gone (`| head`) does not stop the work: what is left to say is dropped.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TextIO

from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.cli.wording import command_text
from unetctl.runtime.errors import UnetctlError

BOLD, RED, DIM = "1", "1;31", "2"
_LABEL = re.compile(r"  (cause|saved|try): ")
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( %)?|-|")


def prepare_streams() -> None:
    """Make a character that the terminal cannot show visible instead of fatal."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def let_go_of_results() -> None:
    """Drop what could not be written, which has been told, so that Python does not fail on it once more at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    widths = [max(len(row[column]) for row in [list(headers), *cells]) for column in range(len(headers))]
    right = [all(_NUMBER.fullmatch(row[column]) for row in cells) for column in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        fields = (f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(row, widths, right, strict=True))
        return (" " * indent + "  ".join(fields)).rstrip()

    result(_styled(line(headers), DIM, sys.stdout))
    for row in cells:
        result(line(row))


def notice(text: str) -> None:
    """Say something that is not the result."""
    for line in _folded(text, "  "):
        _write(sys.stderr, line)


def next_command(*words: str | Path, then: Sequence[str | Path] = ()) -> None:
    """End with what to type next, and after that `then`."""
    notice(f"{_styled('next:', BOLD, sys.stderr)} {command_text(*words)}")
    if then:
        notice(f"      {command_text(*then)}")


def show_error(error: UnetctlError, *, as_json: bool) -> None:
    """Print an error for a person, or as one JSON object for a script."""
    if as_json:
        parts = {"what": error.what, "cause": error.cause, "saved": error.saved, "hint": error.hint}
        _write(sys.stderr, _error_json(exit_code(error), **parts))
        return
    first, *more = str(error).splitlines()
    head, *rest = _folded(f"error: {first}", "       ")
    _write(sys.stderr, head.replace("error:", _styled("error:", RED, sys.stderr), 1))
    for line in (*rest, *(part for one in more for part in _folded(one, " " * (9 if _LABEL.match(one) else 6)))):
        _write(sys.stderr, line)


def show_bug(error: BaseException, report: Path | None, *, as_json: bool, saved: str = "") -> None:
    """Say that unetctl itself failed, and what to do; the rest is in the report."""
    message = next(iter(str(error).splitlines()), "")
    what = f"unetctl failed in a way that it should not{f': {message}' if message else ''}"
    hint = f"please send the report {report}" if report else "type the command again with --debug to see where"
    if as_json:
        _write(sys.stderr, _error_json(ExitCode.BUG, what=what, saved=saved, hint=hint))
    else:
        kept = _folded(f"  saved: {saved}", " " * 9) if saved else []
        for line in (*_folded(f"error: {what}", "       "), *kept, *_folded(f"  try:   {hint}", " " * 9)):
            _write(sys.stderr, line)


def saved_text(error: BaseException) -> str:
    """Return what the runtime noted as saved on an error that is not of its own kinds."""
    return "; ".join(getattr(error, "__notes__", ()))


def columns() -> int:
    """Return the width to write for: the terminal's, and 80 where there is none."""
    return max(40, min(get_terminal_size((80, 24)).columns, 100))


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person watches this stream on a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _error_json(code: ExitCode, *, what: str, cause: str = "", saved: str = "", hint: str = "") -> str:
    return json.dumps({"code": int(code), "what": what, "cause": cause, "saved": saved, "hint": hint})


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]


def _folded(text: str, indent: str) -> list[str]:
    """Fold a line of standard error at the width of the terminal; a log gets it whole."""
    if not is_terminal(sys.stderr):
        return [text]
    width = get_terminal_size((80, 24)).columns
    own = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(
        text.strip(),
        max(20, width - 1),
        initial_indent=own,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return lines or [""]


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
