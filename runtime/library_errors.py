"""The one border where the errors of an engine's library become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unetctl.runtime.errors import DataError, ResourceError, UnetctlError


@contextmanager
def translated(library: str, what: str) -> Iterator[None]:
    """Turn the errors of `library`, which share no base class, into ours; `what` names the model or the tiles."""
    try:
        yield
    except UnetctlError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        if "alloc" in message.lower() or "out of memory" in message.lower():
            raise ResourceError(
                f"{library} has too little memory for {what}", cause=message[:300], hint="a smaller --max-memory"
            ) from error
        raise DataError(f"{library} refuses {what}", cause=message[:500]) from error
