"""How the files that `unetctl segment` writes beside an image are called, and so recognised."""

from __future__ import annotations

from pathlib import Path

RESULT_SUFFIX = ".labels.ome.tif"
"""Takes the place of an image's own suffix where no `--output` is given."""
PREVIEW_SUFFIX = ".preview.png"
"""Takes the place of a result's suffix."""
RESULT_PREVIEW_SUFFIX = ".labels" + PREVIEW_SUFFIX


def preview_path(output: Path) -> Path:
    """Return where the preview of `output` goes: beside it, under a name that is only unetctl's."""
    return output.with_name(output.name[: -len(output.suffix)].removesuffix(".ome") + PREVIEW_SUFFIX)


def is_result_name(path: Path) -> bool:
    """Tell whether a file is called as the results of `segment` and their previews are by default."""
    return path.name.endswith((RESULT_SUFFIX, RESULT_PREVIEW_SUFFIX))
