"""The options of `unetctl export` that ask for engines, and what they mean together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from unetctl.cli.quantity import check_count, parse_counts
from unetctl.runtime.errors import UsageError
from unetctl.runtime.tensorrt_library import TENSORRT, TENSORRT_RTX

Trt = Annotated[bool, typer.Option("--trt", help="Build TensorRT engines for this machine's GPU too; takes minutes.")]
TrtRtx = Annotated[
    bool, typer.Option("--trt-rtx", help="Build engines for RTX cards with TensorRT for RTX; needs no GPU.")
]
Tile = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Pixels that a tile of an engine keeps, an engine for each, as 512,1024."),
]
Batch = Annotated[int | None, typer.Option(metavar="N", help="Tiles that an engine computes at a time; default: 1.")]
ComputeCapability = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="With --trt-rtx: the cards to build for, as 86,89,120; default: all from 80 up."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWish:
    """The engines that were asked for."""

    library: str
    """`tensorrt` or `tensorrt-rtx`"""
    tiles: tuple[int, ...]
    """Kept pixels; empty for the default."""
    batch: int
    compute_capabilities: tuple[int, ...]

    @property
    def option(self) -> str:
        """Return the option that asks for this library."""
        return "--trt-rtx" if self.library == TENSORRT_RTX else "--trt"


def engine_wish(
    trt: bool, trt_rtx: bool, tile: str | None, batch: int | None, compute_capability: str | None
) -> EngineWish | None:
    """Return what the options ask for, or None without `--trt` and `--trt-rtx`. Raises `UsageError`."""
    given = {"--tile": tile, "--batch": batch, "--compute-capability": compute_capability}
    if trt and trt_rtx:
        raise UsageError(
            "--trt and --trt-rtx are two libraries", hint="type the command twice, the second time for one"
        )
    if not (trt or trt_rtx):
        if idle := next((name for name, value in given.items() if value is not None), ""):
            raise UsageError(f"{idle} is for engines", hint=f"{idle} with --trt or --trt-rtx")
        return None
    if trt and compute_capability is not None:
        raise UsageError("--trt builds for the GPU of this machine alone", hint="--compute-capability with --trt-rtx")
    check_count(batch, 1, option="--batch")
    capabilities = (compute_capability or "").replace(".", "")
    return EngineWish(
        library=TENSORRT_RTX if trt_rtx else TENSORRT,
        tiles=parse_counts(tile, option="--tile", example="512,1024") if tile is not None else (),
        batch=batch or 1,
        compute_capabilities=parse_counts(capabilities, option="--compute-capability", example="86,89,120")
        if compute_capability is not None
        else (),
    )
