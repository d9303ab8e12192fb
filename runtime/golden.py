"""Golden tiles: real inputs with PyTorch's own fp32 logits, the truth against which every engine is accepted.

They travel inside the model file, so that a machine without torch can still tell whether its engine computes the
network or something else (`unetctl check model`).
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""More than this is no golden tile but a decompression bomb."""

_FIELDS = ("image", "shift", "scale", "logits")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenTile:
    """One tile and what PyTorch said of it."""

    image: NDArray[Any]
    """`[C, H, W]` uint8 or uint16"""
    shift: NDArray[np.float32]
    """`[C]`, the normalisation that was used, whichever its scope"""
    scale: NDArray[np.float32]
    logits: NDArray[np.float32]
    """`[K, h, w]`"""

    def fault(self) -> str:
        """Say what is wrong with the tile's shapes, types or values; empty if nothing is."""
        channels = self.image.shape[:1]
        if self.image.ndim != 3 or self.image.dtype not in (np.uint8, np.uint16):
            return f"its image is {self.image.dtype} {self.image.shape}"
        if self.logits.ndim != 3 or any(one.dtype != np.float32 for one in (self.shift, self.scale, self.logits)):
            return f"its logits are {self.logits.dtype} {self.logits.shape}"
        if self.shift.shape != channels or self.scale.shape != channels:
            return f"it has {channels[0]} channels and normalisation for {self.shift.size}"
        if not all(np.isfinite(one).all() for one in (self.shift, self.scale, self.logits)):
            return "it holds a NaN or an infinity"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far labels agree with golden logits."""

    pixels: int
    flips: int
    """Pixels whose label is not the class of the largest golden logit."""
    flips_beyond: int
    """Flips where the two best golden logits differ by more than the tolerance: no rounding explains them."""
    largest_margin: float
    """The largest difference of the two best golden logits at a flip; 0 without flips."""
    invalid: int
    """Labels that are no class: the network gave a NaN or an infinity there. They are not counted as flips."""

    @property
    def passed(self) -> bool:
        """True if every difference is a tie within the tolerance."""
        return not self.flips_beyond and not self.invalid


def compare_labels(labels: NDArray[np.uint8], logits: NDArray[np.float32], tolerance: float) -> Agreement:
    """Compare `labels` `[h, w]` with golden `logits` `[K, h, w]`; `tolerance` is in logits."""
    if labels.shape != logits.shape[1:]:
        raise DataError(f"labels of {labels.shape} px were compared with golden logits of {logits.shape[1:]} px")
    second, first = np.partition(logits, -2, axis=0)[-2:]
    is_class = labels < len(logits)
    flipped = is_class & (labels != logits.argmax(axis=0))
    margins = (first - second)[flipped]
    return Agreement(
        pixels=labels.size,
        flips=int(margins.size),
        flips_beyond=int(np.count_nonzero(margins > tolerance)),
        largest_margin=float(margins.max(initial=0.0)),
        invalid=int(np.count_nonzero(~is_class)),
    )


def combine(agreements: Sequence[Agreement]) -> Agreement:
    """Add up the agreement of several tiles."""
    return Agreement(
        pixels=sum(one.pixels for one in agreements),
        flips=sum(one.flips for one in agreements),
        flips_beyond=sum(one.flips_beyond for one in agreements),
        largest_margin=max((one.largest_margin for one in agreements), default=0.0),
        invalid=sum(one.invalid for one in agreements),
    )


def pack_golden(tiles: Sequence[GoldenTile]) -> str:
    """Write tiles as text: base64 of a compressed npz whose arrays are `<i>.image`, `.shift`, `.scale`, `.logits`."""
    file = io.BytesIO()
    np.savez_compressed(
        file, **{f"{index}.{name}": getattr(tile, name) for index, tile in enumerate(tiles) for name in _FIELDS}
    )
    return base64.b64encode(file.getvalue()).decode("ascii")


def unpack_golden(text: str | bytes, *, source: str) -> tuple[GoldenTile, ...]:
    """Read what `pack_golden` wrote; `source` names the file in the errors. Raises `DataError`."""
    try:
        packed = io.BytesIO(base64.b64decode(text, validate=True))
        with zipfile.ZipFile(packed) as archive:
            names = archive.namelist()
            if sum(one.file_size for one in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise ValueError(f"they would unpack to more than {MAX_UNPACKED_BYTES:,} bytes")
        packed.seek(0)
        with np.load(packed, allow_pickle=False) as arrays:
            tiles = tuple(
                GoldenTile(**{name: arrays[f"{index}.{name}"] for name in _FIELDS})
                for index in range(len(names) // len(_FIELDS))
            )
    except (ValueError, KeyError, OSError, EOFError, NotImplementedError, RuntimeError, binascii.Error) as error:
        raise DataError(f"{source}: the golden tiles cannot be read", cause=str(error)) from error
    except (zipfile.BadZipFile, zlib.error, SyntaxError, MemoryError) as error:
        raise DataError(f"{source}: the golden tiles are damaged", cause=str(error)) from error
    if not tiles:
        raise DataError(f"{source}: there are no golden tiles", hint="export the model again")
    for index, tile in enumerate(tiles):
        if fault := tile.fault():
            raise DataError(f"{source}: golden tile {index} cannot be used", cause=fault)
    return tiles
