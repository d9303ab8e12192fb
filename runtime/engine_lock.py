"""One build at a time: builders on one GPU would spoil each other's measurements, and make the same engine twice."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from unetctl.runtime.engine_trust import engine_cache
from unetctl.runtime.system import lock_file

LOG = logging.getLogger(__name__)

TRIAL = "trial-"
"""What the folders of engines that are being tried begin with; a build that was killed leaves its own."""

WAIT_SECONDS = 0.5


@contextmanager
def only_build() -> Iterator[None]:
    """Wait until no other process of this user builds an engine here, and keep others waiting until the block ends.

    The lock dies with its process. What a killed build left is removed. Raises as `engine_cache`.
    """
    folder = engine_cache()
    lock = lock_file(folder / "lock")
    if lock is None:
        LOG.warning("another process is building an engine: waiting for it (%s)", folder / "lock")
    while lock is None:
        time.sleep(WAIT_SECONDS)
        lock = lock_file(folder / "lock")
    with lock:
        for left in folder.glob(f"{TRIAL}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
