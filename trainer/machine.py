"""What training runs on: the device, and the precision that is fast there."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from unetctl.runtime.system import processors
from unetctl.trainer.network import UNet
from unetctl.trainer.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A device and how to compute on it."""

    device: torch.device
    is_bf16: bool
    """Convolutions in bfloat16, weights and sums in fp32 (automatic mixed precision)."""
    name: str

    def place(self, network: UNet) -> UNet:
        """Move a network to the device, in the layout that the device's convolutions want."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def place_image(self, image: torch.Tensor) -> torch.Tensor:
        """Move images `[N, C, H, W]` likewise."""
        return image.to(self.device, memory_format=torch.channels_last)

    def place_sample(self, sample: Sample) -> Sample:
        """Move a sample likewise."""
        return Sample(
            image=self.place_image(sample.image),
            labels=sample.labels.to(self.device),
            weights=sample.weights.to(self.device),
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in this machine's precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_bf16)


def choose_machine(precision: str) -> Machine:
    """Take the GPU if torch sees one, else the processor; `auto` is bf16 where the hardware multiplies in it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return Machine(device=device, is_bf16=precision == "bf16" or (precision == "auto" and _has_bf16(device)), name=name)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _processor() -> str:
    """Name the processor and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {processors()} cores"
