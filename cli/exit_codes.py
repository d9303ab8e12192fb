"""One table: what a command's end means to a script.

Codes from 65 up are those of BSD's sysexits, so they never collide with Click's 2; 69, 74, 75, 130 and 143 are worth
trying again. 137 (killed, often for want of memory) is never ours.
"""

from __future__ import annotations

from enum import IntEnum

from unetctl.runtime import errors


class ExitCode(IntEnum):
    """What each code means."""

    OK = 0
    """The output is published and verified."""
    CHECK_FAILED = 1
    """A check ran to its end and found a difference, or a training diverged."""
    USAGE = 2
    """An option, a setting or a plan that cannot be."""
    DATA = 65
    """An image, a model or a checkpoint that is malformed or beyond a limit."""
    MISSING = 66
    """An input that is not there or cannot be read."""
    UNAVAILABLE = 69
    """An engine, a device or a package that this machine lacks."""
    BUG = 70
    """An unexpected error: a report was written."""
    OUTPUT = 73
    """An output that exists, is in use or cannot be written."""
    STORAGE = 74
    """A disk that is full or fails."""
    RESOURCE = 75
    """A budget too small for one tile."""
    REFUSED = 77
    """A file that would have to be trusted and is not."""
    INTERRUPTED = 130
    """Ctrl-C, after cleaning up."""
    TERMINATED = 143
    """Asked to end by the system, after cleaning up."""


TABLE: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.UsageError, ExitCode.USAGE),
    (errors.CheckFailedError, ExitCode.CHECK_FAILED),
    (errors.DataError, ExitCode.DATA),
    (errors.MissingInputError, ExitCode.MISSING),
    (errors.UnavailableError, ExitCode.UNAVAILABLE),
    (errors.OutputError, ExitCode.OUTPUT),
    (errors.StorageError, ExitCode.STORAGE),
    (errors.ResourceError, ExitCode.RESOURCE),
    (errors.RefusedError, ExitCode.REFUSED),
    (MemoryError, ExitCode.RESOURCE),
    (OSError, ExitCode.STORAGE),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the code of the first type in the table that `error` is; an error that nobody foresaw is a bug."""
    return next((code for kind, code in TABLE if isinstance(error, kind)), ExitCode.BUG)
