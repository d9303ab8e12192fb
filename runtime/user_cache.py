"""The user's own folder for what can be made again: 0700, of this user alone, or nothing in it is used."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from unetctl.runtime.errors import RefusedError, StorageError


def user_cache(name: str) -> Path:
    """Return the folder `name` in the user's cache; it is made if it is not there.

    Raises `RefusedError` if others own it or can write to it, and `StorageError` if it cannot be made.
    """
    folder = _cache_home() / "unetctl" / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(folder)
    except OSError as error:
        if isinstance(error, RefusedError):
            raise
        raise StorageError(
            f"the folder {folder} cannot be made",
            cause=error.strerror or str(error),
            hint="set XDG_CACHE_HOME (on Windows LOCALAPPDATA) to a folder of your own",
        ) from error
    return folder


def _cache_home() -> Path:
    try:
        if os.name == "nt":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise StorageError("there is no folder for caches: this user has no home", hint="set XDG_CACHE_HOME") from error


def _refuse_shared(folder: Path) -> None:
    """Raise `RefusedError` unless only this user can write there; Windows keeps a user's folders from others itself."""
    if os.name == "nt":
        return
    found = folder.lstat()
    wrong = ""
    if not stat.S_ISDIR(found.st_mode):
        wrong = "it is no folder of its own but a link or a file"
    elif found.st_uid != os.getuid():
        wrong = f"it belongs to user {found.st_uid}, and you are {os.getuid()}"
    elif found.st_mode & 0o077:
        wrong = f"others may use it (mode {stat.S_IMODE(found.st_mode):o})"
    if wrong:
        raise RefusedError(
            f"the folder {folder} is not yours alone", cause=wrong, hint=f"look into it, then remove it: {folder}"
        )
