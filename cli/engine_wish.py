"""The options of `unetctl export` that ask for engines, and what they mean together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from unetctl.cli.quantity import parse_counts
from unetctl.runtime.errors import UsageError
from unetctl.runtime.plan import CHUNK_PX
from unetctl.runtime.tensorrt_library import TENSORRT, TENSORRT_RTX

Trt = Annotated[bool, typer.Option("--trt", help="Build TensorRT engines for this machine's GPU too; takes minutes.")]
TrtRtx = Annotated[
    bool,
    typer.Option(
        "--trt-rtx",
        help="Build engines for RTX cards with TensorRT for RTX; needs no GPU. NVIDIA's licence forbids critical "
        "applications, medical ones among them.",
    ),
]
Tile = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Pixels that a tile of an engine keeps, an engine for each, as 512,1024."),
]
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
    compute_capabilities: tuple[int, ...]

    @property
    def option(self) -> str:
        """Return the option that asks for this library."""
        return "--trt-rtx" if self.library == TENSORRT_RTX else "--trt"


def engine_wish(trt: bool, trt_rtx: bool, tile: str | None, compute_capability: str | None) -> EngineWish | None:
    """Return what the options ask for, or None without `--trt` and `--trt-rtx`. Raises `UsageError`."""
    given = {"--tile": tile, "--compute-capability": compute_capability}
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
    capabilities = (compute_capability or "").replace(".", "")
    return EngineWish(
        library=TENSORRT_RTX if trt_rtx else TENSORRT,
        tiles=_tiles(tile) if tile is not None else (),
        compute_capabilities=parse_counts(capabilities, option="--compute-capability", example="86,89,120")
        if compute_capability is not None
        else (),
    )


def _tiles(text: str) -> tuple[int, ...]:
    """Read the tiles: of whole chunks, because `segment` cuts an image at the borders of the output's chunks."""
    tiles = parse_counts(text, option="--tile", example="512,1024")
    if any(one % CHUNK_PX for one in tiles):
        raise UsageError(
            f"--tile {text} cannot be",
            cause=f"tiles of an image keep multiples of {CHUNK_PX} px, so no other engine would be used whole",
            hint="--tile 512,1024",
        )
    return tiles
