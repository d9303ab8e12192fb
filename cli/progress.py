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
    """What a command calls as often as it likes: how much of how much (0: nobody knows) is done, and a few words."""

    def __call__(self, done: float, total: float, text: str = "", *, title: str = "") -> None: ...


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


def _nothing(done: float, total: float, text: str = "", *, title: str = "") -> None:
    """Show nothing."""


@contextmanager
def _bar(title: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class TimeLeft(TimeRemainingColumn):
        """The time left, and that it is that."""

        def render(self, task: Task) -> Text:
            text = super().render(task).plain
            return Text("" if task.finished or "-" in text else f"{text} left")

    shown = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan", pulse_style="cyan"),
        TaskProgressColumn(style="default"),
        TextColumn("{task.fields[text]}", markup=False),
        TimeLeft(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        refresh_per_second=5,
        expand=True,
        redirect_stdout=False,  # results are not for the terminal alone
        speed_estimate_period=120.0,
    )
    with shown:
        task = shown.add_task(title, total=None, text="")
        current = title

        def update(done: float, total: float, text: str = "", *, title: str = "") -> None:
            nonlocal current
            if title and title != current:  # another phase has another speed
                current = title
                shown.reset(task, description=title, total=total or None)
            shown.update(task, completed=done, total=total or None, text=text)

        yield update


def _lines(title: str) -> Update:
    started = printed = time.monotonic()
    current = title

    def update(done: float, total: float, text: str = "", *, title: str = "") -> None:
        nonlocal started, printed, current
        now = time.monotonic()
        if title and title != current:
            current, started = title, now
        if now - printed < LINE_EVERY_S:
            return
        printed = now
        share = done / total if total else 0.0
        left = f"{seconds_text((now - started) * (1 - share) / share)} left" if share > 0 else ""
        output.notice("  ".join(part for part in (current, percent_text(share) if total else "", text, left) if part))

    return update
