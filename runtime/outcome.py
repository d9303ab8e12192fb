"""From labels to a published file: the sink that fills the chunk store, the provenance, and the last steps of a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.chunks import ChunkKey
from unetctl.runtime.errors import OutputError, UnetctlError, UsageError
from unetctl.runtime.image import open_image
from unetctl.runtime.labels import build_pyramid, count_labels, encode_chunk
from unetctl.runtime.ome_tiff import verify_ome_tiff, write_ome_tiff
from unetctl.runtime.plan import CHUNK_PX, Tile
from unetctl.runtime.result_names import preview_path
from unetctl.runtime.run import Run
from unetctl.runtime.store import ChunkStore
from unetctl.runtime.system import publish

SUFFIXES = (".tif", ".tiff")


class PutAsideError(OutputError):
    """The labels are complete, and lie beside the output's path instead of there."""


class StoreSink:
    """A `LabelSink` that encodes the chunks of each tile into a store and adds the pixels of each class to a count."""

    def __init__(self, store: ChunkStore, class_pixels: NDArray[np.int64]) -> None:
        self.class_pixels = class_pixels
        self._store = store
        self._lock = threading.Lock()

    def write(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8], *, left_out: bool = False) -> None:
        """Store the chunks of one tile; its borders inside the image are borders of chunks."""
        counts = np.zeros_like(self.class_pixels)
        for y in range(0, tile.write.height, CHUNK_PX):
            for x in range(0, tile.write.width, CHUNK_PX):
                key = ChunkKey(plane, 0, (tile.write.y0 + y) // CHUNK_PX, (tile.write.x0 + x) // CHUNK_PX)
                chunk = labels_yx[y : y + CHUNK_PX, x : x + CHUNK_PX]
                self._store.put(key, encode_chunk(chunk), left_out=left_out)
                counts += count_labels(chunk, len(counts))
        with self._lock:
            self.class_pixels += counts


def check_output(output: Path, image: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if an output is no TIFF or the image itself, `OutputError` if it may not be replaced."""
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"--output {output} names no TIFF", cause="label images are written as OME-TIFF", hint="end it in .ome.tif"
        )
    for path in (output, preview_path(output)):
        if path.exists() and image.exists() and path.samefile(image):
            raise UsageError(f"{path} is the image itself", hint="choose another --output")
    if output.is_dir():
        raise OutputError(f"{output} is a folder", hint="--output takes the path of a file")
    if output.exists() and not overwrite:
        raise OutputError(
            f"{output} exists", cause=_made_by(output), hint="--overwrite replaces it, --output FILE makes another"
        )


def publish_labels(
    store: ChunkStore,
    folder: Path,
    output: Path,
    *,
    run: Run,
    command: str,
    class_pixels: Mapping[str, int],
    blank_px: int,
    overwrite: bool,
) -> None:
    """Build the pyramid, write the file in the run folder, verify it, and move it to its final path.

    A file that appeared there during the run is not replaced without `overwrite`: the result is put beside it.
    """
    info = run.source.info
    for plane in range(info.planes):
        build_pyramid(store, plane)
    finished = folder / "result.ome.tif"
    write_ome_tiff(
        finished,
        store,
        plane_axes=info.plane_axes,
        spec=run.model.spec,
        pixel_size_um=info.pixel_size_um,
        provenance=_provenance(run, command, class_pixels, blank_px),
    )
    verify_ome_tiff(finished, store)
    aside = output.with_name(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{output.name}")
    if output.exists() and not overwrite:
        publish(finished, aside)
        raise PutAsideError(
            f"{output} appeared during the run and was not replaced", saved=f"the labels are in {aside}"
        )
    try:
        publish(finished, output)
    except OSError as error:  # on Windows a viewer may hold the old file
        publish(finished, aside)
        raise PutAsideError(
            f"{output} could not be replaced", cause=str(error), saved=f"the labels are in {aside}"
        ) from error


def _provenance(run: Run, command: str, class_pixels: Mapping[str, int], blank_px: int) -> dict[str, Any]:
    """Return what the output says of how it was made: plain JSON values, and no folders of this machine."""
    info, model, tiles = run.source.info, run.model, run.memory.tiles
    blank = {"label": model.spec.classes[run.blank].name, "pixels": blank_px} if run.blank is not None else None
    return {
        "format_version": 1,
        "unetctl": version("unetctl"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "image": {
            "name": Path(info.path).name,
            "planes": info.planes,
            "channels": list(info.channel_names),
            "height": info.height,
            "width": info.width,
        },
        "model": {
            "name": model.spec.name,
            "file": model.path.name,
            "sha256": model.sha256,
            "weights_sha256": model.spec.weights_sha256,
            "precision": model.record.precision,
            "averaging": model.record.averaging,
        },
        "engine": run.engine.description,
        "precision": run.precision,
        "tiles": len(tiles),
        "read_shapes": tiles.read_shapes(),
        "class_pixels": class_pixels,
        "skipped_blank": blank,
    }


def _made_by(output: Path) -> str:
    """Say which model made an existing output, if it is one of ours."""
    try:
        source = open_image(output)
    except UnetctlError:
        return "it is not an image that unetctl can read"
    source.close()
    if not source.info.made_by:
        return "it was not made by unetctl"
    try:
        made = json.loads(source.info.made_by)
        return f"made by model {made['model']['name']} ({made['model']['weights_sha256'][:12]}) on {made['created']}"
    except (ValueError, KeyError, TypeError):
        return "made by unetctl, and its provenance was changed since"
