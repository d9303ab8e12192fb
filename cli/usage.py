"""What Click finds wrong with a command line, in the form of every other error."""

from __future__ import annotations

import typer

from unetctl.runtime.errors import UsageError

_CLICK_ERRORS = tuple(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The root of Click's errors: Typer brings a Click of its own since 0.26, and does not export it."""


def is_click_error(error: BaseException) -> bool:
    """Tell whether Click or Typer refused the command line."""
    return isinstance(error, (*_CLICK_ERRORS, typer.Abort))


def as_usage_error(error: BaseException) -> UsageError:
    """Say it in our form: what is wrong, what was probably meant, and where all options are listed."""
    message = str(getattr(error, "message", "")) or "the command line is incomplete"
    if hasattr(error, "format_message"):
        message = error.format_message()
    context = getattr(error, "ctx", None)
    manual = f"{context.command_path if context else 'unetctl'} --help"
    unknown = getattr(error, "option_name", "")
    if unknown and message.startswith("No such option"):
        close = sorted(getattr(error, "possibilities", None) or ())
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        return UsageError(f"there is no option {unknown}", hint=f"{meant}All options: {manual}")
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=manual)
