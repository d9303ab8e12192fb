"""A file that several threads read at any position, and the boundary at which other people's errors become ours."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unetctl.runtime.errors import DataError, MissingInputError, ResourceError, StorageError, UnetctlError

OnDisk = Callable[[float, int], None]
"""Is told how many seconds a file was waited for, and for how many bytes, by the thread that waited."""


class RandomAccessFile:
    """An open regular file whose size is known and must stay what it is."""

    def __init__(self, path: Path, *, on_disk: OnDisk | None = None) -> None:
        self.path = path
        self._on_disk = on_disk
        try:
            mode = path.stat().st_mode  # before it is opened: opening a pipe would wait for a writer
            if stat.S_ISREG(mode):
                self.stream = path.open("rb")
        except FileNotFoundError as error:
            raise MissingInputError(f"{path}: there is no such file") from error
        except (OSError, ValueError) as error:
            raise MissingInputError(f"{path}: cannot be opened", cause=reason(error)) from error
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise MissingInputError(f"{path}: this is {kind}, not a file", hint="name an image file")
        self.position = threading.Lock()
        """Held by whoever moves the position of `stream`."""
        status = os.fstat(self.stream.fileno())
        self.size, self._modified = status.st_size, status.st_mtime_ns

    def starts_with(self, *signatures: bytes) -> bool:
        """Tell whether the first bytes of the file are one of these."""
        return self.read(0, min(self.size, max(map(len, signatures)))).startswith(signatures)

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`. Raises `DataError` past the end, `StorageError` if that fails."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise DataError(
                f"{self.path}: the file ends too early",
                cause=f"bytes {offset:,} to {offset + size:,} are needed, and it has {self.size:,}",
                hint="copy it again: it is damaged or incomplete",
            )
        started = time.perf_counter() if self._on_disk is not None else 0.0
        try:
            data = self._read_at(offset, size)
            status = os.fstat(self.stream.fileno())
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read at byte {offset:,}", cause=reason(error)) from error
        if len(data) != size or (status.st_size, status.st_mtime_ns) != (self.size, self._modified):
            raise StorageError(f"{self.path}: the file was changed while it was read", hint="run the command again")
        if self._on_disk is not None:
            self._on_disk(time.perf_counter() - started, size)
        return data

    def _read_at(self, offset: int, size: int) -> bytes:
        if not hasattr(os, "pread"):  # Windows
            with self.position:
                self.stream.seek(offset)
                return self.stream.read(size)
        data = os.pread(self.stream.fileno(), size, offset)
        while len(data) < size:  # one call returns 2 GiB at most
            more = os.pread(self.stream.fileno(), size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        """Give the file back."""
        self.stream.close()


@contextmanager
def translated(what: str, *, hint: str = "") -> Iterator[None]:
    """Turn whatever a library raises in the body into `DataError(what)`; our own errors pass."""
    try:
        yield
    except UnetctlError:
        raise
    except MemoryError as error:
        raise ResourceError(what, cause="there is not enough memory for it", hint=hint) from error
    except OSError as error:
        if error.errno in (errno.EIO, errno.ESTALE):
            raise StorageError(what, cause=reason(error), hint="check the disk or the network drive") from error
        raise DataError(what, cause=reason(error), hint=hint) from error
    except Exception as error:
        raise DataError(what, cause=reason(error), hint=hint) from error


def reason(error: Exception) -> str:
    """Say in one line, without the names of Python's things, what an error of a library says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(re.sub(r"<[^<>]*>", " ", str(error)).split())
    if not text or not isinstance(error, ValueError | RuntimeError):
        return "its structure contradicts itself"
    return text[:160]
