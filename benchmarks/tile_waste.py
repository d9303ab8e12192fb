"""How much more a tiled image computes than an untiled one: `python -m benchmarks.tile_waste`.

Two hundred image sizes are drawn log-uniformly from 500 to 20,000 px a side, each is planned, and the multiply-adds of
the plan are divided by those of the image as one tile. Nothing is run: the figures follow from the geometry alone.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass

from unetctl.runtime.cost import layers
from unetctl.runtime.geometry import margin_px
from unetctl.runtime.plan import TilePlan, plan_tiles

IMAGES = 200
SIDE_PX = (500, 20_000)
SEED = 2015
DEPTHS = (3, 4, 5)
BASE_CHANNELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """The figures of one depth over all images."""

    depth: int
    median: float
    """Multiply-adds of the plan over those of the untiled image."""
    ninetieth: float
    worst: float
    largest_tile_px: int
    """Area of the largest kept centre."""
    most_shapes: int
    """Distinct input shapes in one image: what an engine must be prepared for."""
    mean_shapes: float


def image_sizes(count: int = IMAGES, seed: int = SEED) -> list[tuple[int, int]]:
    """Draw `count` image sizes `(height, width)`, each side log-uniform in `SIDE_PX`."""
    draw = random.Random(seed)
    low, high = (math.log(side) for side in SIDE_PX)
    return [(round(math.exp(draw.uniform(low, high))), round(math.exp(draw.uniform(low, high)))) for _ in range(count)]


def largest_tile_px(plan: TilePlan) -> int:
    """Return the area of the plan's largest kept centre."""
    height, width = plan.read_shapes()[0]
    around = 2 * margin_px(plan.depth)
    return (height - around) * (width - around)


def measure(depth: int, sizes: list[tuple[int, int]]) -> Waste:
    """Plan every size for a network of `depth` and sum the plans up."""
    network = layers(depth, BASE_CHANNELS)
    plans = [plan_tiles(size, depth=depth) for size in sizes]
    wastes = [plan.waste(network) for plan in plans]
    shapes = [len(plan.read_shapes()) for plan in plans]
    return Waste(
        depth=depth,
        median=statistics.median(wastes),
        ninetieth=statistics.quantiles(wastes, n=10)[-1],
        worst=max(wastes),
        largest_tile_px=max(map(largest_tile_px, plans)),
        most_shapes=max(shapes),
        mean_shapes=statistics.mean(shapes),
    )


def main() -> None:
    """Print the table."""
    sizes = image_sizes()
    sides = f"sides of {SIDE_PX[0]} to {SIDE_PX[1]:,} px"
    print(f"Tile waste: multiply-adds of the plan over the untiled image's, {len(sizes)} images with {sides}")
    print()
    print("| depth | median | 90 % under | worst | largest tile, px | shapes an image: mean | most |")
    print("|---|---|---|---|---|---|---|")
    for row in (measure(depth, sizes) for depth in DEPTHS):
        print(
            f"| {row.depth} | {row.median:.3f} | {row.ninetieth:.3f} | {row.worst:.3f} "
            f"| {row.largest_tile_px:,} ({math.sqrt(row.largest_tile_px):.0f}^2) "
            f"| {row.mean_shapes:.1f} | {row.most_shapes} |"
        )


if __name__ == "__main__":
    main()
