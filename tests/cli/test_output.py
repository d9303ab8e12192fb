"""What is printed, where to, and what happens when nobody reads it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from unetctl.cli import output, progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if sys.platform == "win32":
        monkeypatch.setenv("WT_SESSION", "1")


@contextmanager
def on_a_terminal() -> Iterator[Terminal]:
    """Run the body with both streams on one terminal."""
    stream = Terminal()
    with redirect_stdout(stream), redirect_stderr(stream):
        yield stream


def test_results_and_notices_go_to_different_streams(capsys: pytest.CaptureFixture[str]) -> None:
    output.result("a result")
    output.notice("a notice")
    assert capsys.readouterr() == ("a result\n", "a notice\n")


def test_values_stand_in_a_column_and_long_ones_continue_there(capsys: pytest.CaptureFixture[str]) -> None:
    output.pairs([("a", "short"), ("none", ""), ("name", "word " * 20)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  a     short"
    assert all(line.index(line.strip().split()[-1]) >= 8 for line in lines)
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80


def test_numbers_of_a_table_stand_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("engine", "flips"), [("one", "7"), ("two", "1,200")])
    assert capsys.readouterr().out == "  engine  flips\n  one         7\n  two     1,200\n"


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal() as terminal:
        output.heading("title")
    assert "\x1b[" in terminal.getvalue()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch, on_a_terminal() as terminal:
            patch.setenv(name, value)
            output.heading("title")
        assert terminal.getvalue() == "title\n"


def test_a_closed_stream_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.result("a result")
    output.notice("a notice")
    with progress.progress("work") as update:
        update(1, 2)


def test_a_log_gets_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress("slide.tif") as update:
        for step in range(25):
            now = float(step)
            update(step, 100, "1.0 Mpx/s", left_s=100 - now, title="segmenting")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["segmenting  10.0 %  1.0 Mpx/s  1 min 30 s left", "segmenting  20.0 %  1.0 Mpx/s  1 min 20 s left"]


def test_a_terminal_gets_a_bar() -> None:
    with on_a_terminal() as terminal, progress.progress("slide.tif") as update:
        update(50, 100, "1.0 Mpx/s", left_s=7200)
    assert "2 h 0 min left" in terminal.getvalue()
    assert "slide.tif" in terminal.getvalue()
    assert "50 %" in terminal.getvalue()
    assert "1.0 Mpx/s" in terminal.getvalue()


@pytest.mark.parametrize("name", ["quiet", "dumb"])
def test_no_bar_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TERM", "dumb" if name == "dumb" else "xterm")
    with on_a_terminal() as terminal, progress.progress("slide.tif", quiet=name == "quiet") as update:
        update(50, 100)
    assert terminal.getvalue() == ""
