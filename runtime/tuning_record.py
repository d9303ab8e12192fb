"""What `unetctl tune` found, remembered for one model on one machine.

    ~/.cache/unetctl/tuned/<SHA-256 of model, processor, processors, device, and what was asked for>.json

Another model or machine has another file, and so has a search among one engine or in one precision. What else decides,
the versions of the engines and of this format, is in the file, so that it can be said why it is no longer used. A
damaged file is no reason for a run to fail: it is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from unetctl.runtime.compile_cache import processor_identity
from unetctl.runtime.errors import DataError, StorageError
from unetctl.runtime.system import processors, write_atomically
from unetctl.runtime.tile_choice import TileChoice
from unetctl.runtime.tuning import Setting
from unetctl.runtime.user_cache import user_cache

FORMAT_VERSION = 1
"""Goes up whenever an older unetctl measured something else than this one would run."""

AGAIN = "unetctl tune finds them again"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningKey:
    """For what something was tuned."""

    model_sha256: str
    """Of the file."""
    device: str = ""
    """As `--device` names it."""
    engine: str = "auto"
    """As `--engine` names it: what is fastest of one engine is not what is fastest."""
    precision: str = "auto"
    """As `--precision` names it."""
    processor: str
    """SHA-256 of what tells processors apart."""
    processors: int
    """That the process may use."""

    @classmethod
    def here(cls, model_sha256: str, device: str = "", *, engine: str = "auto", precision: str = "auto") -> Self:
        """Return the key of a model on this machine."""
        return cls(
            model_sha256=model_sha256,
            device=device,
            engine=engine,
            precision=precision,
            processor=hashlib.sha256(processor_identity().encode()).hexdigest(),
            processors=processors(),
        )

    def file_name(self) -> str:
        """Return the name of its file."""
        return f"{_sha256(asdict(self))}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What was found, and how."""

    created: str
    """ISO 8601"""
    model: str
    """Its name, for people."""
    key: TuningKey
    engines: tuple[str, ...]
    """Every engine that could run, with its version and device: with another one the best may be another."""
    setting: Setting
    gain: float
    """Speed over that of the default; 1 if the default was kept."""
    mpx_per_second: float
    default_mpx_per_second: float
    image_yx: tuple[int, int]
    """What it was tuned for."""
    max_memory_bytes: int
    """Within which it was tuned."""

    def to_json(self) -> str:
        """Return what a file holds."""
        values = {"format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps({"sha256": _sha256(values), "tuning": values}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises `DataError` for what is damaged or of another version."""
        try:
            content = json.loads(text)
            values = dict(content["tuning"])
            is_whole = content["sha256"] == _sha256(values)
            version = values.pop("format_version")
            if is_whole and version != FORMAT_VERSION:
                raise DataError(f"it is of format {version}, and this unetctl knows {FORMAT_VERSION}")
            if is_whole:
                return cls(**{**values, **_nested(values)})
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError("it is damaged", cause=f"{type(error).__name__}: {error}") from error
        raise DataError("it is damaged", cause="its checksum is not that of its content")


class TuningStore:
    """The records of this user. Raises `StorageError` and `RefusedError` as `user_cache` does."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or user_cache("tuned")

    def load(self, key: TuningKey, engines: Sequence[str]) -> Tuning | None:
        """Return what is remembered for `key`, None if nothing is; `engines` are those that can run now.

        Raises `DataError` that says why a record cannot be used: damaged, of another version, of other engines.
        """
        path = self._folder / key.file_name()
        try:
            found = Tuning.from_json(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError("it cannot be read", cause=str(error), hint=AGAIN) from error
        if found.key != key:
            raise DataError("it is that of another model or machine", hint=AGAIN)
        if found.engines != tuple(engines):
            then, now = (" and ".join(one) or "none" for one in (found.engines, engines))
            raise DataError(f"the engines were {then}, and are {now}", hint=AGAIN)
        return found

    def knows(self, key: TuningKey) -> bool:
        """Tell whether there is a record for `key`, sound or not."""
        return (self._folder / key.file_name()).exists()

    def save(self, tuning: Tuning) -> Path:
        """Remember it in place of what was, and return the file. Raises `StorageError`."""
        path = self._folder / tuning.key.file_name()
        try:
            write_atomically(path, tuning.to_json().encode())
        except OSError as error:
            raise StorageError(
                f"{self._folder}: what was tuned cannot be remembered",
                cause=error.strerror or str(error),
                hint="make room, or set XDG_CACHE_HOME to a folder on another drive, and tune again",
            ) from error
        return path

    def forget(self, key: TuningKey) -> bool:
        """Forget what is remembered for `key`, and tell whether anything was."""
        try:
            (self._folder / key.file_name()).unlink()
        except FileNotFoundError:
            return False
        return True

    def all(self) -> tuple[Tuning, ...]:
        """Return all that can be read, the newest first."""
        found = []
        for path in self._folder.glob("*.json"):
            with suppress(OSError, UnicodeDecodeError, DataError):
                found.append(Tuning.from_json(path.read_text("utf-8")))
        return tuple(sorted(found, key=lambda one: one.created, reverse=True))


def _sha256(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make the values that JSON has no type for."""
    setting, image_yx = dict(values["setting"]), values["image_yx"]
    tiles = dict(setting["tiles"])
    tile_yx = None if tiles["tile_yx"] is None else (int(tiles["tile_yx"][0]), int(tiles["tile_yx"][1]))
    return {
        "key": TuningKey(**values["key"]),
        "engines": tuple(values["engines"]),
        "setting": Setting(**{**setting, "tiles": TileChoice(**{**tiles, "tile_yx": tile_yx})}),
        "image_yx": (int(image_yx[0]), int(image_yx[1])),
    }
