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


@pytest.fixture(scope="session")
def rtx() -> TensorRtLibrary:
    """TensorRT for RTX, which builds real engines without a GPU."""
    from unetctl.runtime.errors import UnavailableError
    from unetctl.runtime.tensorrt_library import load_tensorrt

    try:
        return load_tensorrt("tensorrt-rtx")
    except UnavailableError as error:
        pytest.skip(f"NOT RUN: no real engine was built: {error.what}; {error.hint}")
