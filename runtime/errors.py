"""Errors that a person can act on.

    UnetctlError
    |-- UsageError         (ValueError)         an option, a setting or a plan that cannot be
    |-- CheckFailedError   (AssertionError)     an engine that differs, a training that diverged
    |-- DataError          (ValueError)         an image, a label, a model or a checkpoint that is malformed
    |-- MissingInputError  (FileNotFoundError)  a path that is not there or cannot be read
    |-- UnavailableError   (RuntimeError)       an engine, a device or a package that this machine lacks
    |-- OutputError        (FileExistsError)    an output that exists, is in use or cannot be written
    |-- StorageError       (OSError)            a disk that is full or fails
    |-- ResourceError      (MemoryError)        a budget too small for the smallest piece of work
    `-- RefusedError       (PermissionError)    a file that would have to be trusted and is not

Every error says what was asked and found (`what`), and, where it helps, why (`cause`), what is safe (`saved`) and what
to do next (`hint`). `unetctl.cli` maps each type to one exit code.
"""

from __future__ import annotations


class UnetctlError(Exception):
    """The root: everything that unetctl raises on purpose."""

    def __init__(self, what: str, *, cause: str = "", saved: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.saved = saved
        self.hint = hint

    def __str__(self) -> str:
        parts = (("cause", self.cause), ("saved", self.saved), ("try", self.hint))
        return "\n".join([self.what, *(f"  {name + ':':<7}{text}" for name, text in parts if text)])


class UsageError(UnetctlError, ValueError):
    """An option, a setting or a plan that cannot be."""


class CheckFailedError(UnetctlError, AssertionError):
    """What was made is not what it must be: an engine that differs from PyTorch, a training that diverged."""


class DataError(UnetctlError, ValueError):
    """An image, a label image, a model or a checkpoint that is malformed."""


class MissingInputError(UnetctlError, FileNotFoundError):
    """A path that is not there or cannot be read."""


class UnavailableError(UnetctlError, RuntimeError):
    """An engine, a device or a package that this machine lacks."""


class OutputError(UnetctlError, FileExistsError):
    """An output that exists, is in use by another run, or cannot be written."""


class StorageError(UnetctlError, OSError):
    """A disk that is full or fails."""


class ResourceError(UnetctlError, MemoryError):
    """A budget that is too small for the smallest piece of work."""


class RefusedError(UnetctlError, PermissionError):
    """A file that would have to be trusted and is not."""
