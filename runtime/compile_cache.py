"""What a library made of a model, kept for the next run: one file for each model, library, processor and setting.

    ~/.cache/unetctl/compiled/<SHA-256 of the key>.blob      a digest of what follows, then the library's own bytes

The library's own cache is not used, because it knows a model by its path, size and time, so that another model of the
same second and size would be taken for it, and because it writes into the file that another process may be reading.
(OpenVINO's source: `ModelCache::calculate_file_info`, and `FileStorageCacheManager`, which opens the final path.) Here
the key holds the model's own hash, a file appears whole or not at all, and one with a wrong bit is no hit.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import platform
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import UnetctlError
from unetctl.runtime.system import atomic_path, processors
from unetctl.runtime.user_cache import user_cache

LIMIT_BYTES = 1 << 30
"""Beyond it the entries that were not used for the longest time go: about eight of the paper's network."""

ABANDONED_S = 3600
"""After so long nobody is writing any more."""

_PIECE_BYTES = 8 << 20
_HASH_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The bytes of one file, in memory for as long as this lives."""

    blob: NDArray[np.uint8]
    """What the library wrote; not to be changed."""
    mapped: mmap.mmap

    def let_go(self) -> None:
        """Give the memory back; what is used again is read again from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


class CompileCache:
    """The entries of this user."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or user_cache("compiled")

    def load(self, key: Mapping[str, Any]) -> Entry | None:
        """Return what was kept under `key`, or None; a damaged entry is removed."""
        path = self._path(key)
        try:
            with path.open("rb") as file:  # mapped and not read: it is as large as the network
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError:
            return None
        except ValueError:  # it is empty
            self.remove(key)
            return None
        blob = np.frombuffer(mapped, np.uint8, offset=min(_HASH_BYTES, len(mapped)))
        if _digest(blob.data) != mapped[:_HASH_BYTES]:
            del blob
            mapped.close()  # or Windows would not remove it
            self.remove(key)
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return Entry(blob=blob, mapped=mapped)

    def save(self, key: Mapping[str, Any], blob: bytes | memoryview) -> None:
        """Keep `blob`; a disk that takes no more is no reason for a run to fail."""
        with suppress(OSError, UnetctlError):
            with atomic_path(self._path(key)) as temporary, temporary.open("wb") as file:
                file.write(_digest(blob))
                file.write(blob)  # apart, because a blob is as large as the network
            self._make_room()

    def remove(self, key: Mapping[str, Any]) -> None:
        """Forget what was kept under `key`."""
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.blob"

    def _make_room(self) -> None:
        entries = []
        for path in self._folder.glob(".*.part"):  # of a process that was killed while it wrote
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - ABANDONED_S:
                    path.unlink()
        for path in self._folder.glob("*.blob"):
            with suppress(FileNotFoundError):  # another process makes room too
                found = path.stat()
                entries.append((found.st_mtime, found.st_size, path))
        kept = 0
        for _, size, path in sorted(entries, reverse=True):
            kept += size
            if kept > LIMIT_BYTES:
                with suppress(OSError):  # on Windows one that is being read
                    path.unlink()


def _digest(blob: bytes | memoryview) -> bytes:
    """Return the SHA-256 of the SHA-256 of the pieces of `blob`: each can be on another processor."""
    pieces = [blob[at : at + _PIECE_BYTES] for at in range(0, len(blob), _PIECE_BYTES)]
    with ThreadPoolExecutor(processors()) as pool:
        return hashlib.sha256(b"".join(pool.map(lambda one: hashlib.sha256(one).digest(), pieces))).digest()


def processor_identity() -> str:
    """Return what tells processors apart for a compiler: the name, and on Linux every feature that it has."""
    features = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {features}"
