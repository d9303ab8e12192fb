"""The published label image: an OME-TIFF, tiled, compressed, pyramidal, with its classes and provenance inside.

Nothing is encoded here: tifffile is handed the chunks of the store as they are, level by level.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from unetctl.runtime.errors import DataError
from unetctl.runtime.plan import CHUNK_PX
from unetctl.runtime.spec import ModelSpec
from unetctl.runtime.store import ChunkStore, translated_disk_errors

PROVENANCE_KEY = "unetctl.result"
"""Key of the map annotation whose value, JSON, says how the file was made; results are recognised by it."""

CLASSIC_TIFF_BYTES = 2**32 - 2**26
"""Beyond it the 32-bit offsets of a classic TIFF no longer reach; tables and metadata need some room themselves."""


def write_ome_tiff(
    path: Path,
    store: ChunkStore,
    *,
    plane_axes: tuple[tuple[str, int], ...],
    spec: ModelSpec,
    pixel_size_um: float | None,
    provenance: Mapping[str, Any],
) -> None:
    """Write every plane and level of `store` to `path`. Raises `StorageError`."""
    shapes = store.grid.level_shapes
    axes = _ome_axes(plane_axes)
    metadata: dict[str, Any] = {
        "axes": "".join(axis for axis, _ in axes) + "YX",
        "Name": f"{spec.name} labels",
        "MapAnnotation": [
            {"Namespace": "unetctl/provenance", PROVENANCE_KEY: json.dumps(provenance, sort_keys=True)},
            {
                "Namespace": "unetctl/classes",
                **{str(label): f"{one.name} {one.colour}" for label, one in enumerate(spec.classes)},
            },
        ],
    }
    if pixel_size_um:
        for axis in "XY":
            metadata[f"PhysicalSize{axis}"] = pixel_size_um
            metadata[f"PhysicalSize{axis}Unit"] = "µm"

    with (
        translated_disk_errors(path.parent),
        tifffile.TiffWriter(path, bigtiff=store.size_bytes > CLASSIC_TIFF_BYTES, ome=True) as writer,
    ):
        for level, shape in enumerate(shapes):
            pixels_per_cm = 1e4 / (pixel_size_um * 2**level) if pixel_size_um else None
            writer.write(
                _chunks(store, level),
                shape=(*(size for _, size in axes), *shape),
                dtype=np.uint8,
                tile=(CHUNK_PX, CHUNK_PX),
                compression="adobe_deflate",
                photometric="minisblack",
                subifds=None if level else len(shapes) - 1,
                subfiletype=1 if level else 0,
                metadata=None if level else metadata,
                resolution=(pixels_per_cm, pixels_per_cm) if pixels_per_cm else None,
                resolutionunit="CENTIMETER" if pixels_per_cm else None,
            )


def _ome_axes(plane_axes: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Return the axes of the planes as OME can name them: T and Z as they are, any others as one Z, in their order."""
    names = [axis for axis, _ in plane_axes]
    if len(set(names)) == len(names) and set(names) <= {"T", "Z"}:
        return plane_axes
    return (("Z", math.prod(size for _, size in plane_axes)),)


def verify_ome_tiff(path: Path, store: ChunkStore) -> None:
    """Read every encoded chunk back and compare its checksum with the journal's. Raises `DataError`."""
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != store.grid.planes or not file.is_ome:
            raise DataError(f"{path}: {len(file.pages)} pages were written where {store.grid.planes} were meant")
        for plane, first in enumerate(file.pages):
            levels = [first, *(first.pages or ())]
            for level, (page, shape) in enumerate(zip(levels, store.grid.level_shapes, strict=True)):
                if page.shape != shape:
                    raise DataError(f"{path}: level {level} has {page.shape} pixels instead of {shape}")
                keys = list(store.grid.keys(plane, level))
                if len(page.dataoffsets) != len(keys):
                    raise DataError(f"{path}: level {level} has {len(page.dataoffsets)} chunks instead of {len(keys)}")
                for key, offset, length in zip(keys, page.dataoffsets, page.databytecounts, strict=True):
                    file.filehandle.seek(offset)
                    if zlib.crc32(file.filehandle.read(length)) != store.crc32(key):
                        raise DataError(f"{path}: chunk {tuple(key)} is not what was written", hint="check the disk")


def _chunks(store: ChunkStore, level: int) -> Iterator[bytes]:
    for plane in range(store.grid.planes):
        for key in store.grid.keys(plane, level):
            yield store.get(key)
