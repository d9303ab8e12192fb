"""Parts of unetctl that come with an extra: their absence is an answer with the line that installs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unetctl.runtime.errors import UnavailableError


def install_line(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "unetctl[{extra}]"'


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Turn a missing library into an error that names the extra. Raises `UnavailableError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("unetctl"):  # our own module: a bug, not a missing extra
            raise
        raise UnavailableError(
            f"{what} needs {error.name}, which is not installed", hint=install_line(extra)
        ) from error
