"""Progress on standard error: a bar where a person watches, a plain line every ten seconds where a log does.

rich is imported only when a bar is drawn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from unetctl.cli import output
from unetctl.cli.wording import percent_text, seconds_text

LINE_EVERY_S = 10.0


class Update(Protocol):
    """What a command calls as often as it likes.

    `done` of `total` (0: nobody knows), a few words, the seconds that are left where they are known, and what is done.
    """

    def __call__(
        self, done: float, total: float, text: str = "", *, left_s: float | None = None, title: str = ""
    ) -> None: ...


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Update]:
    """Show the progress of the body, which reports it to the function it is given."""
    if quiet or sys.stderr is None:
        yield _nothing
    elif output.is_terminal(sys.stderr):
        with _bar(title) as update:
            yield update
    else:
        yield _lines(title)


def _nothing(done: float, total: float, text: str = "", *, left_s: float | None = None, title: str = "") -> None:
    """Show nothing."""


@contextmanager
def _bar(title: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        """Counts down between two updates too."""

        def render(self, task: Task) -> Text:
            end: float | None = task.fields["end"]
            return Text("" if end is None else f"{seconds_text(max(0.0, end - time.monotonic()))} left")

    shown = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan", pulse_style="cyan"),
        TaskProgressColumn("{task.percentage:.0f} %", text_format_no_percentage=""),
        TextColumn("{task.fields[text]}", markup=False),
        TimeLeft(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        refresh_per_second=5,
        expand=True,
        redirect_stdout=False,  # results are not for the terminal alone
    )
    with shown:
        task = shown.add_task(title, total=None, text="", end=None)

        def update(
            done: float, total: float, text: str = "", *, left_s: float | None = None, title: str = title
        ) -> None:
            end = None if left_s is None else time.monotonic() + left_s
            shown.update(task, description=title, completed=done, total=total or None, text=text, end=end)

        yield update


def _lines(title: str) -> Update:
    printed = time.monotonic()

    def update(done: float, total: float, text: str = "", *, left_s: float | None = None, title: str = title) -> None:
        nonlocal printed
        if time.monotonic() - printed >= LINE_EVERY_S:
            printed = time.monotonic()
            share = percent_text(done / total) if total else ""
            left = "" if left_s is None else f"{seconds_text(left_s)} left"
            output.notice("  ".join(part for part in (title, share, text, left) if part))

    return update
