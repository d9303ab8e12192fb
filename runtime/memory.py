"""The byte budget: one number decides tile, batch, queues and caches together, before the run.

    budget = what the process holds already + engine (weights, activations, slots) + decoded chunks + writers

A larger tile computes less (see `plan`), so the largest that fits is taken. Figures are upper bounds, and the report
puts the peak that was reached beside the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from unetctl.runtime.cost import Layer, layers, multiply_adds
from unetctl.runtime.errors import ResourceError
from unetctl.runtime.geometry import margin_px
from unetctl.runtime.image import ImageInfo
from unetctl.runtime.plan import CHUNK_PX, MAX_TILE_AREA_PX, TilePlan, plan_tiles, plan_tiles_within
from unetctl.runtime.reads import read_grid
from unetctl.runtime.spec import ModelSpec
from unetctl.runtime.system import free_memory_bytes
from unetctl.runtime.tile_choice import plan_tiles_like

DEFAULT_LIMIT_BYTES = 4 << 30
MAX_SHARED_BYTES = 256 << 20
"""What may make tiles smaller so that chunks under two rows of them are decoded once; what is left over may be more."""

MAX_TILE_AREA_BLANK_PX = 1024 * 1024
"""The largest tile where blank ones are left out: 6 % more multiply-adds, and far more of a slide is empty tiles."""

LARGE_CHUNK_BYTES = 16 << 20
"""Decoded size of a chunk from which the image itself is a reason for a budget that does not suffice."""

PREVIEW_BYTES = 24 << 20
BYTES_A_CHUNK = 150
"""Of the tables of the store and of tifffile, while the output is written and verified."""
BYTES_A_PLANE = 40 << 10
"""Of tifffile's pages of input and output."""

EngineBytes = Callable[[tuple[tuple[int, int], ...]], int]
"""Bytes that an engine needs for tiles that read these `(height, width)`, its weights and slots among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What fits: the tiles, the cache of decoded chunks, and the peak that is expected."""

    tiles: TilePlan
    cache_bytes: int
    expected_bytes: int
    bytes_to_decode_once: int
    """What would have to be allowed for each chunk of the image to be decoded once; `expected_bytes` if it is."""


def default_budget_bytes() -> int:
    """Return half of what is free, at most 4 GiB."""
    return min(DEFAULT_LIMIT_BYTES, free_memory_bytes() // 2)


def plan_within(
    budget_bytes: int,
    *,
    info: ImageInfo,
    spec: ModelSpec,
    engine_bytes: EngineBytes,
    baseline_bytes: int,
    readers: int,
    fixed_shapes: Sequence[tuple[int, int]] = (),
    max_area_px: int = MAX_TILE_AREA_PX,
    tile_yx: tuple[int, int] | None = None,
    only: TilePlan | None = None,
) -> MemoryPlan:
    """Choose the tiles with the fewest multiply-adds whose run stays under `budget_bytes`, or take `only` these.

    `baseline_bytes` is what the process holds before the engine is opened. `fixed_shapes` are the input shapes that the
    engine works in, if it does not take any; else tiles keep at most `max_area_px`. Tiles of `tile_yx` are taken before
    all others if they fit. Raises `ResourceError` with the number of bytes that the smallest tile needs.
    """
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    needed = 0
    candidates = _candidates((info.height, info.width), spec.depth, network, fixed_shapes, max_area_px, tile_yx)
    for tiles in candidates if only is None else [only]:
        cache_bytes, once_bytes = _cache_bytes(info, tiles, readers)
        rest = baseline_bytes + engine_bytes(tiles.read_shapes()) + _writer_bytes(info, tiles)
        rest += readers * info.decoder_bytes
        needed = rest + cache_bytes
        if needed <= budget_bytes:
            cache_bytes = min(once_bytes, cache_bytes + budget_bytes - needed)
            return MemoryPlan(
                tiles=tiles,
                cache_bytes=cache_bytes,
                expected_bytes=rest + cache_bytes,
                bytes_to_decode_once=rest + once_bytes,
            )
    raise ResourceError(
        f"{info.path}: {needed / 2**20:,.0f} MiB are needed for the "
        f"{'smallest tile' if only is None else 'tiles of the run that is continued'}, "
        f"{budget_bytes / 2**20:,.0f} are allowed",
        cause=f"the program holds {baseline_bytes / 2**20:,.0f} MiB before it begins{_strip(info)}",
        hint=f"--max-memory {-(-needed // 2**20)}MiB, or another engine",
    )


def _candidates(
    image_yx: tuple[int, int],
    depth: int,
    network: tuple[Layer, ...],
    fixed_shapes: Sequence[tuple[int, int]],
    max_area_px: int,
    tile_yx: tuple[int, int] | None,
) -> Iterator[TilePlan]:
    """Yield plans, those of `tile_yx` first, then those that compute the least, of no larger area than `tile_yx`."""
    margin = 2 * margin_px(depth)
    fixed: list[tuple[bool, int, int, TilePlan]] = []
    for height, width in fixed_shapes:
        tiles = plan_tiles_within(image_yx, (height - margin, width - margin), depth=depth)
        if tiles is not None:
            is_other = tile_yx is not None and tile_yx != (height - margin, width - margin)
            computed = len(tiles) * multiply_adds([height], [width], network)
            fixed.append((is_other, computed, len(fixed), tiles))
    if tile_yx is not None and not fixed:
        max_area_px = min(max_area_px, max(CHUNK_PX**2, tile_yx[0] * tile_yx[1]))
        tiles = plan_tiles_like(image_yx, tile_yx, depth=depth)
        if tiles is not None and tiles.largest_yx[0] * tiles.largest_yx[1] <= max_area_px:
            yield tiles
    for *_, tiles in sorted(fixed, key=lambda one: one[:3]):
        yield tiles
    for chunks in range(max_area_px // CHUNK_PX**2, 0, -1) if not fixed else ():
        yield plan_tiles(image_yx, depth=depth, max_area_px=chunks * CHUNK_PX**2, network=network)


def _strip(info: ImageInfo) -> str:
    """Say it if the image must be decoded in large pieces."""
    if info.chunk_bytes < LARGE_CHUNK_BYTES:
        return ""
    size = f"{info.chunk_yx[1]} x {info.chunk_yx[0]} px, {info.chunk_bytes / 2**20:,.0f} MiB"
    return f", and this image is decoded in pieces of {size}: saved as tiles it would take less"


def _cache_bytes(info: ImageInfo, tiles: TilePlan, readers: int) -> tuple[int, int]:
    """Return the decoded bytes worth keeping, and those that must be for no chunk to be decoded twice.

    Neighbouring windows overlap by twice the margin, so the rows of chunks under that overlap must be kept for the
    whole width of the image. In one too wide for that some of its border chunks are decoded twice.
    """
    if not info.chunk_bytes:
        return 0, 0
    window, once = read_grid(tiles).chunks_kept(info.chunk_yx, readers)
    affordable = max(window, MAX_SHARED_BYTES // info.chunk_bytes)
    return info.chunk_bytes * min(once, affordable), info.chunk_bytes * once


def _writer_bytes(info: ImageInfo, tiles: TilePlan) -> int:
    """Return what draining a tile takes: its chunks one by one, the preview, and the tables of input and output."""
    chunks = -(-tiles.image_yx[0] // CHUNK_PX) * -(-tiles.image_yx[1] // CHUNK_PX)
    return 8 * CHUNK_PX**2 + PREVIEW_BYTES + info.planes * (BYTES_A_PLANE + BYTES_A_CHUNK * chunks)
