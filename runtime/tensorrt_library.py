"""TensorRT as a library: `tensorrt` (10.3 to 11), or `tensorrt_rtx` for the cards of workstations. One code path.

Both have the same names for all that is used here, but for the few that only TensorRT for RTX has. By convention a
local variable `trt` is the module of either, and `rtx` is it where only TensorRT for RTX will do: tests compare every
`trt.X` of this package with the names recorded from 10.3, 10.13, 10.16 and 11.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from unetctl.runtime.errors import UnavailableError

TENSORRT = "tensorrt"
TENSORRT_RTX = "tensorrt-rtx"

FLOORS = {TENSORRT: (10, 3), TENSORRT_RTX: (1, 7)}
"""The oldest whose names were recorded and compared; 10.2.0, which other tools refuse by name, is below it."""

INSTALL = {
    TENSORRT: 'pip install "unetctl[trt]"; on a Jetson it belongs to JetPack: python -m venv --system-site-packages',
    TENSORRT_RTX: 'pip install "unetctl[trt-rtx]"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRtLibrary:
    """A TensorRT that was imported and is new enough."""

    name: str
    """`tensorrt` or `tensorrt-rtx`: what an engine file records as its kind."""
    module: Any
    version: str
    """The whole of it, as `11.4.0.106`: a plan runs only on the version that built it."""

    @property
    def is_rtx(self) -> bool:
        """Tell whether it is TensorRT for RTX."""
        return self.name == TENSORRT_RTX


def library_for_gpu(compute_capability: str) -> TensorRtLibrary:
    """Return what builds for a GPU of this compute capability, as `8.9`: TensorRT, or where it is missing that for RTX.

    Raises `UnavailableError` where neither is installed, or where only that for RTX is, which does not know the GPU.
    """
    try:
        return load_tensorrt(TENSORRT)
    except UnavailableError as missing:
        try:
            library = load_tensorrt(TENSORRT_RTX)
        except UnavailableError:
            raise missing from None
    rtx = library.module
    if f"SM{compute_capability.replace('.', '')}" not in rtx.ComputeCapability.__members__:
        raise UnavailableError(
            f"{TENSORRT_RTX} {library.version} builds nothing for compute capability {compute_capability}",
            cause=f"it is for RTX cards, and {TENSORRT} is not installed",
            hint=INSTALL[TENSORRT],
        )
    return library


def load_tensorrt(name: str) -> TensorRtLibrary:
    """Import `tensorrt` or `tensorrt-rtx`; nothing of it runs, and no GPU is needed.

    Raises `UnavailableError` where it is missing, cannot be loaded or is too old, with the line that installs it.
    """
    try:
        module = import_module(name.replace("-", "_"))
        version = str(module.__version__)
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{name} is not installed", cause=str(error), hint=INSTALL[name]) from error
    except Exception as error:  # its own start finds and loads libraries, and fails with whatever that raises
        raise UnavailableError(
            f"{name} is installed and cannot be loaded",
            cause=" ".join(str(error).split())[:300] or type(error).__name__,
            hint=f"install it again: {INSTALL[name]}",
        ) from error
    _refuse_old(name, version)
    return TensorRtLibrary(name=name, module=module, version=version)


def _refuse_old(name: str, version: str) -> None:
    found = re.match(r"(\d+)\.(\d+)", version)
    floor = FLOORS[name]
    if found is None or tuple(int(part) for part in found.groups()) < floor:
        raise UnavailableError(
            f"{name} {version} is too old",
            cause=f"unetctl needs {floor[0]}.{floor[1]} or later",
            hint=INSTALL[name],
        )
