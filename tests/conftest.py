"""What every test needs before it imports anything heavy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from unetctl.runtime.tensorrt_library import TensorRtLibrary

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: a second thread would only wait for the first
settings.register_profile("house", deadline=None)  # how long an example takes says more of the machine than of the code
settings.load_profile("house")


FRESH_BYTES = 172 << 20
"""What a program of unetctl holds when it has just begun."""


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the memory of a program that has just begun: what all tests before left would leave nothing of a budget."""
    monkeypatch.setattr("unetctl.runtime.run.baseline_bytes", lambda: FRESH_BYTES)


@pytest.fixture(scope="session")
def rtx() -> TensorRtLibrary:
    """TensorRT for RTX, which builds real engines without a GPU."""
    from unetctl.runtime.errors import UnavailableError
    from unetctl.runtime.tensorrt_library import load_tensorrt

    try:
        return load_tensorrt("tensorrt-rtx")
    except UnavailableError as error:
        pytest.skip(f"NOT RUN: no real engine was built: {error.what}; {error.hint}")
