"""Run in a child process with limited memory: read every file of a folder, compare with tifffile, print what came out.

One JSON line for each file is written before and after, so that a crash or a hang names its file.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import tifffile

from tests.runtime.reading import Array, read_plane
from unetctl.runtime.errors import UnetctlError
from unetctl.runtime.image import open_image

MEMORY_BYTES = 4 << 30
HANG_S = 5.0


def planes_of(path: Path) -> Array | None:
    """Return what tifffile makes of a file, as `[P, C, H, W]`, or `None` if it makes nothing of it."""
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            array, axes = series.asarray(), series.axes
    except Exception:
        return None
    channel_axes = "CS"
    order = [i for i, axis in enumerate(axes) if axis not in "YX" + channel_axes]
    order += [axes.index(axis) for axis in channel_axes + "YX" if axis in axes]
    channels = int(np.prod([array.shape[axes.index(axis)] for axis in channel_axes if axis in axes]))
    return array.transpose(order).reshape(-1, channels, *array.shape[axes.index("Y") : axes.index("X") + 1])


def outcome(path: Path, compare: bool) -> tuple[str, str]:
    """Return `("equal" | "read" | "refused" | "different" | "foreign", detail)`."""
    try:
        with closing(open_image(path)) as source:
            planes = [read_plane(source, plane) for plane in range(min(source.info.planes, 8))]
            is_tiff = source.info.format == "TIFF"
    except UnetctlError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:
        return "foreign", repr(error)
    due = planes_of(path) if compare and is_tiff else None
    if due is None:
        return "read", ""
    same = np.array_equal(np.stack(planes), due[:8], equal_nan=due.dtype.kind in "fc")
    return ("equal" if same else "different"), str(due.shape)


def mutants(folder: Path, scratch: Path, number: int) -> Iterator[Path]:
    """Yield files of `folder` with a few bytes changed, removed or added; the same ones every time."""
    rng = random.Random(2015)
    seeds = [path.read_bytes() for path in sorted(folder.iterdir())]
    for index in range(number):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 4))):
            place = rng.randrange(min(len(data), rng.choice((32, 400, len(data)))))
            kind = rng.randrange(5)
            if kind < 2:
                data[place] ^= 1 << rng.randrange(8)
            elif kind == 2:
                data[place : place + 4] = rng.choice((bytes(4), b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"))
            elif kind == 3:
                del data[place : place + rng.randrange(1, 8)]
            else:
                data[place:place] = rng.randbytes(4)
        path = scratch / f"mutant-{index}"
        path.write_bytes(data)
        yield path


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        files, compare = mutants(folder, Path(sys.argv[2]), int(sys.argv[3])), False
    else:
        files, compare = iter(sorted(path for path in folder.rglob("*") if path.is_file())), True
    for path in files:
        print(json.dumps({"file": str(path)}), flush=True)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        start = time.monotonic()
        kind, detail = outcome(path, compare)
        faulthandler.cancel_dump_traceback_later()
        line = {"file": str(path), "outcome": kind, "detail": detail, "seconds": time.monotonic() - start}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
