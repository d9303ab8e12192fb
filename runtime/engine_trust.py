"""Which plans may be loaded: a plan is a program, and loading it runs it with the rights of the user.

    ~/.cache/unetctl/engines/              0700, of this user alone, or nothing in it counts
        <plan>.engine, <plan>.engine.json  plans that were rebuilt here from their ONNX model
        timing-*.cache                     what the builder measured, so that the next build is shorter
        built/<SHA-256 of a plan>          an empty file: this user built that plan on this machine

A plan is trusted by its bytes and not by its place: it may lie anywhere, and be copied, but a plan with one other bit
is a foreign one. A hash beside the plan would prove nothing, because whoever sends a plan sends the hash. Foreign plans
need `--trust-engine`, which is asked for each time and never remembered.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.runtime.errors import DataError, MissingInputError, RefusedError, StorageError

if TYPE_CHECKING:
    from unetctl.runtime.engine_file import EngineFile


def engine_cache() -> Path:
    """Return the user's own folder for engines; it is made if it is not there.

    Raises `RefusedError` if others own it or can write to it, and `StorageError` if it cannot be made.
    """
    folder = _cache_home() / "unetctl" / "engines"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(folder)
        (folder / "built").mkdir(mode=0o700, exist_ok=True)
        _refuse_shared(folder / "built")
    except OSError as error:
        if isinstance(error, RefusedError):
            raise
        raise StorageError(
            f"the folder for engines {folder} cannot be made",
            cause=error.strerror or str(error),
            hint="set XDG_CACHE_HOME (on Windows LOCALAPPDATA) to a folder of your own",
        ) from error
    return folder


def remember_built(plan_sha256: str) -> None:
    """Note that this user built the plan of this hash on this machine."""
    (engine_cache() / "built" / plan_sha256).touch(mode=0o600)


def was_built_here(plan_sha256: str) -> bool:
    """Tell whether this user built the plan of this hash on this machine. Raises as `engine_cache`."""
    return (engine_cache() / "built" / plan_sha256).is_file()


def trusted_plan(engine: EngineFile, *, trust_foreign: bool) -> bytes:
    """Return the bytes of a plan for the library to load: exactly those whose hash was compared.

    Raises `DataError` if they are not those of the record, and `RefusedError` for a plan that this user did not build,
    unless `trust_foreign`.
    """
    try:
        plan = engine.path.read_bytes()
    except OSError as error:
        raise MissingInputError(f"{engine.path} cannot be read", cause=error.strerror or str(error)) from error
    if hashlib.sha256(plan).hexdigest() != engine.record.plan_sha256:
        raise DataError(
            f"{engine.path} is damaged", cause="its SHA-256 is not the one beside it", hint="build it again"
        )
    if not trust_foreign and not was_built_here(engine.record.plan_sha256):
        raise RefusedError(
            f"{engine.path} was not built here, and an engine is a program that would run with your rights",
            hint="build your own from the ONNX model: unetctl export --model model.onnx --trt; "
            "or --trust-engine, if you trust whoever made it as you would trust their program",
        )
    return plan


def _cache_home() -> Path:
    try:
        if os.name == "nt":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise StorageError("no folder for engines: this user has no home", hint="set XDG_CACHE_HOME") from error


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
            f"the folder for engines {folder} is not yours alone",
            cause=wrong,
            hint=f"look into it, then remove it: {folder}",
        )
