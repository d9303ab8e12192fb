"""How the files that `unetctl segment` writes beside an image are called, and so recognised."""

from __future__ import annotations

from pathlib import Path

RESULT_SUFFIX = ".labels.ome.tif"
"""Takes the place of an image's own suffix where no `--output` is given."""
PREVIEW_SUFFIX, TRACE_SUFFIX = ".preview.png", ".trace.json"
"""Take the place of a result's suffix."""
BESIDE_SUFFIXES = (".labels" + PREVIEW_SUFFIX, ".labels" + TRACE_SUFFIX)
"""How what lies beside a result ends."""


def preview_path(output: Path) -> Path:
    """Return where the preview of `output` goes: beside it, under a name that is only unetctl's."""
    return _beside(output, PREVIEW_SUFFIX)


def trace_path(output: Path) -> Path:
    """Return where the trace of the run that made `output` goes, likewise."""
    return _beside(output, TRACE_SUFFIX)


def is_result_name(path: Path) -> bool:
    """Tell whether a file is called as the results of `segment`, and what lies beside them, are by default."""
    return path.name.endswith((RESULT_SUFFIX, *BESIDE_SUFFIXES))


def _beside(output: Path, suffix: str) -> Path:
    return output.with_name(output.name[: -len(output.suffix)].removesuffix(".ome") + suffix)
