"""The report of a bug: everything that helps to find it, in a file of the user's own, never sent anywhere."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from unetctl.cli.version import version


def write_report(error: BaseException, argv: Sequence[str]) -> Path | None:
    """Write the report of an unexpected error and return where, or None where no folder takes it."""
    text = "\n".join(
        [
            f"unetctl {version()}, Python {platform.python_version()}, {platform.platform()}",
            f"command: unetctl {shlex.join(argv)}",
            f"folder:  {_current_folder()}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (_state_folder, _temporary_folder):
        with suppress(OSError, RuntimeError):  # no home, or one that cannot be written
            path = folder() / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return path
    return None


def _state_folder() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "unetctl"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "unetctl"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "unetctl"


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir())


def _current_folder() -> str:
    with suppress(OSError):
        return str(Path.cwd())
    return "(gone)"
