"""Where the real images are that some tests read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_data() -> Path | None:
    """Return the folder of public images: `UNETCTL_DATA`, or `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("UNETCTL_DATA") or ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def needed(name: str) -> Path:
    """Return the data set `name`, or skip the test and say what is missing."""
    folder = shared_data()
    if folder is None or not (folder / name).exists():
        pytest.skip(f"NOT RUN: the data set {name} is missing; set UNETCTL_DATA to the folder that holds it")
    return folder / name
