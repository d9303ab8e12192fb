"""What differs between operating systems and file systems: publishing by rename, syncing, locks, free memory."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def sync_file(path: Path) -> None:
    """Force a file's data to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk; Windows does this by itself and cannot open a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(finished: Path, final: Path) -> None:
    """Move a finished file to its final path in one step, so that no reader ever sees half of it."""
    sync_file(finished)
    finished.replace(final)
    sync_folder(final.parent)


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside `final`; publish it at the end, or remove it if the body raises."""
    descriptor, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".part", dir=final.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        publish(temporary, final)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_atomically(final: Path, data: bytes) -> None:
    """Write `data` to `final`: afterwards the file is whole, or what it was before."""
    with atomic_path(final) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def lock_file(path: Path) -> IO[str] | None:
    """Open `path` and hold its lock until the file is closed or the process ends, however it ends.

    Returns None when another process holds it. The lock is the system's own, so there are no stale ones.
    """
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            if os.name == "nt":
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        with suppress(OSError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        file.close()  # the holder before us removed the file between our open and our lock: try the new one


def processors() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory_bytes() -> int:
    """Return the memory that new work may use: what the system has available, and no more than a container's limit."""
    if os.name == "nt":
        return _free_memory_windows()
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    with suppress(OSError, ValueError):  # control groups, version 2: "max" is no limit and no number
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = int(counts.get("inactive_file", 0))  # pages of files, given back when they are needed
        available = min(available, max(0, limit - used + cached))
    return available


def _free_memory_windows() -> int:
    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page_total", "page_free", "virtual_total")),
            ("virtual_free", ctypes.c_ulonglong),
            ("extended_free", ctypes.c_ulonglong),
        )

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.free)


def current_memory_bytes() -> int:
    """Return this process's resident memory now; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def peak_memory_bytes() -> int:
    """Return the largest resident memory that this process ever had; 0 where the system does not tell."""
    if os.name == "nt":
        return 0
    with suppress(OSError, ValueError, StopIteration):  # ru_maxrss begins at the peak of whoever started us
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
