"""All that decides the labels of a run: those of two engines, precisions or images are never in one result.

The image is known by its size, when it was changed, and samples of its bytes: enough to see an image that was exchanged
or edited, without reading a terabyte twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from unetctl.runtime.compile_cache import processor_identity
from unetctl.runtime.errors import StorageError
from unetctl.runtime.run import Run

SAMPLES, SAMPLE_BYTES = 16, 4096
DECODERS = ("imagecodecs", "tifffile")
"""Packages that make pixels of an image's bytes; those of one JPEG differ between decoders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """One field a thing that must not change while a run is stopped; all are plain JSON values, or tuples of them."""

    image: str
    """Its name, without folders."""
    image_bytes: int
    image_modified_ns: int
    image_sample: str
    """SHA-256 of samples of the file."""
    series: int | None
    level: int
    channels: tuple[int, ...] | None
    """Counted from 0."""
    shape: tuple[int, int, int, int]
    """Planes, channels, height and width."""
    dtype: str
    model: str
    """SHA-256 of its file."""
    engine: str
    """Its name, the version of its library, its device."""
    processor: str
    """Begin of the SHA-256 of what tells processors apart: engines round otherwise on another."""
    precision: str
    threads: int
    batch: int
    streams: int
    """Tiles that are computed side by side, each on its part of the threads."""
    blank: int | None
    """The class of what is left out."""
    unetctl: str
    decoders: str

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Make one of what JSON gave back. Raises `TypeError` if a field is missing or unknown."""
        fitting: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
        return cls(**fitting)


WORDS = {
    "image": "the image",
    "image_bytes": "its size in bytes",
    "image_modified_ns": "the time when the image was changed",
    "image_sample": "the content of the image",
    "shape": "planes, channels, height and width",
    "dtype": "the pixels",
    "model": "the model (SHA-256)",
    "processor": "the processor",
    "blank": "the class for blank tiles",
    "unetctl": "the program",
    "decoders": "what decodes images",
    **{name: f"--{name}" for name in ("series", "level", "channels", "threads", "precision")},
}
"""What the fields are called in messages; the others are called as they are."""


def identity_of(
    run: Run, file: Path, *, series: int | None = None, level: int = 0, channels: tuple[int, ...] | None = None
) -> RunIdentity:
    """Return the identity of `run` on the image `file`, of which `series`, `level` and `channels` were asked for.

    Raises `StorageError` where the file cannot be read.
    """
    info = run.source.info
    try:
        status = file.stat()
        sample = _sample(file, status.st_size)
    except OSError as error:
        raise StorageError(f"{file} cannot be read", cause=error.strerror or str(error)) from error
    return RunIdentity(
        image=file.name,
        image_bytes=status.st_size,
        image_modified_ns=status.st_mtime_ns,
        image_sample=sample,
        series=series,
        level=level,
        channels=channels,
        shape=(info.planes, info.channels, info.height, info.width),
        dtype=info.dtype,
        model=run.model.sha256,
        engine=run.engine.description,
        processor=_processor(),
        precision=run.precision,
        threads=run.resources.threads,
        batch=run.resources.tiles.batch,
        streams=run.resources.tiles.streams,
        blank=run.blank,
        unetctl=_versions("unetctl"),
        decoders=_versions(*DECODERS),
    )


def differences(before: RunIdentity, now: RunIdentity) -> list[str]:
    """Say in words what differs, one thing each."""
    found = []
    for field in fields(RunIdentity):
        old, new = getattr(before, field.name), getattr(now, field.name)
        if old != new:
            name = WORDS.get(field.name, field.name)
            found.append(f"{name} was {_shown(field.name, old)} and is {_shown(field.name, new)}")
    return found


@cache
def _versions(*packages: str) -> str:
    """Return packages with their versions; finding them takes milliseconds, and there may be thousands of images."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


@cache
def _processor() -> str:
    return hashlib.sha256(processor_identity().encode()).hexdigest()[:12]


def _sample(file: Path, size: int) -> str:
    found = hashlib.sha256()
    with file.open("rb", buffering=0) as opened:
        for number in range(SAMPLES):
            opened.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            found.update(opened.read(SAMPLE_BYTES))
    return found.hexdigest()


def _shown(name: str, value: Any) -> str:
    if name == "image_modified_ns":
        return f"{datetime.fromtimestamp(value / 1e9, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    if name in ("model", "image_sample"):
        return str(value)[:12]
    if isinstance(value, tuple):
        return ",".join(str(one + 1 if name == "channels" else one) for one in value)
    return "not given" if value is None else str(value)
