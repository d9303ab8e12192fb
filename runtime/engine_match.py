"""May this plan be loaded here? A plan is for one library version and one GPU: on another it fails, or is wrong."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unetctl.runtime.engine_record import EngineRecord
from unetctl.runtime.tensorrt_library import TENSORRT_RTX, TensorRtLibrary

if TYPE_CHECKING:
    from unetctl.runtime.cuda import DeviceFacts

RTX_DEFAULT = (80, 86, 89)
RTX_LATER = 120
"""What TensorRT for RTX builds for when nothing is named: 8.0, 8.6, 8.9, and 12.0 and later (its manual, 1.7)."""

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of a machine decides whether a plan runs on it."""

    kind: str
    """`tensorrt` or `tensorrt-rtx`"""
    library_version: str
    gpu: str
    """Empty without a GPU, and then the next two are empty too."""
    compute_capability: str
    """As `8.9`"""
    driver_version: str
    """The newest CUDA that the driver knows, as `13.0`"""
    cuda_version: str
    platform: str
    """As `linux-x86_64`"""


def this_machine(library: TensorRtLibrary, device: DeviceFacts | None) -> Machine:
    """Return the facts of this machine with `library` and `device`."""
    return Machine(
        kind=library.name,
        library_version=library.version,
        gpu=device.name if device else "",
        compute_capability=device.compute_capability if device else "",
        driver_version=device.driver_version if device else "",
        cuda_version=device.runtime_version if device else "",
        platform=platform_name(),
    )


def platform_name() -> str:
    """Return the operating system and the processor, as `linux-x86_64` or `windows-x86_64`."""
    processor = platform.machine().lower()
    return f"{platform.system().lower()}-{_ARCHITECTURES.get(processor, processor)}"


def mismatch(record: EngineRecord, machine: Machine) -> str:
    """Say why a plan may not be loaded on a machine; empty if it may.

    With TensorRT everything must be as it was at the build: a plan holds the kernels that were the fastest on that GPU.
    With TensorRT for RTX the GPU need only be of a kind that it was built for, and Linux and Windows take each other's.
    A newer driver runs what was built with an older one.
    """
    if record.kind != machine.kind:
        return f"it is for {record.kind}, and {machine.kind} was to load it"
    if record.library_version != machine.library_version:
        return f"it was built by {record.kind} {record.library_version}, and {machine.library_version} is installed"
    if not machine.gpu:
        return "there is no GPU here"
    capability = round(10 * float(machine.compute_capability))
    if record.kind == TENSORRT_RTX:
        if _processor(record.platform) != _processor(machine.platform):
            return f"it was built for {_processor(record.platform)}, and this is {_processor(machine.platform)}"
        if not _runs_on(record.compute_capabilities, capability):
            built = ", ".join(f"{one / 10:.1f}" for one in record.compute_capabilities or (*RTX_DEFAULT, RTX_LATER))
            return f"it was built for compute capability {built}, and {machine.gpu} has {machine.compute_capability}"
        return ""
    if record.platform != machine.platform:
        return f"it was built on {record.platform}, and this is {machine.platform}"
    if (record.gpu, record.compute_capabilities) != (machine.gpu, (capability,)):
        return f"it was built on {record.gpu}, and the GPU here is {machine.gpu}"
    if _version(machine.driver_version) < _version(record.driver_version):
        return f"it was built under a driver for CUDA {record.driver_version}, and here it is {machine.driver_version}"
    return ""


def _runs_on(built_for: tuple[int, ...], capability: int) -> bool:
    return capability in built_for if built_for else capability in RTX_DEFAULT or capability >= RTX_LATER


def _processor(platform_text: str) -> str:
    return platform_text.rpartition("-")[2]


def _version(text: str) -> tuple[int, ...]:
    """Return `13.0` as numbers; nothing known is older than anything."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())
