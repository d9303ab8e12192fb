"""From file to file: the whole run, with what each stage did and waited for.

    TIFF to TIFF         what `unetctl segment` does: read, mirror, network, stitch, compress, pyramid, verify, publish
    memory to TIFF       the same from an image in memory: what reading costs is the difference
    memory to nothing    the tiles through the pipeline, the labels thrown away: what writing costs is the difference

The TIFF was just written, so it is read from the system's memory: the disk is no part of the figure. Engines are opened
before the clock starts, as in the report of `unetctl segment`; what that takes is a figure of its own.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.engines import Found, open_choice
from benchmarks.gpu.memory import DeviceMemory
from benchmarks.gpu.networks import Network, slide_file, slide_in_memory
from benchmarks.gpu.rows import Facts
from benchmarks.gpu.settings import Settings

if TYPE_CHECKING:
    from unetctl.runtime.engines import EngineChoice
    from unetctl.runtime.image import ImageSource
    from unetctl.runtime.model import Model
    from unetctl.runtime.plan import Tile
    from unetctl.runtime.profile import Profile
    from unetctl.runtime.run import Run

TIFF, MEMORY, NOTHING = "TIFF to TIFF", "memory to TIFF", "memory to nothing"
ROADS = {TIFF: ("tifffile", "imagecodecs"), MEMORY: ("tifffile", "imagecodecs"), NOTHING: ()}
"""Each way through the runtime, and the packages it needs."""
STAGES = ("read", "network", "write", "finish")


class Forget:
    """A `LabelSink` that keeps nothing."""

    def write(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8], *, left_out: bool = False) -> None:
        """Let the labels go."""


def run_speed(found: Found, precision: str, network: Network, *, road: str, stride: int | None) -> Facts:
    """Segment the slide; `stride` is what tiles keep at most, None for what the run chooses. The first is not counted.

    The report is that of the run nearest to the median.
    """
    from unetctl.runtime.image import open_image
    from unetctl.runtime.profile import Profile

    choice, model = open_choice(found, precision, network)
    settings = network.settings
    if road == TIFF:
        path = slide_file(model.spec, settings)
    else:
        pixels = slide_in_memory(model.spec, settings)

    def once() -> dict[str, Any]:
        profile = Profile()
        source = open_image(path, on_disk=profile.disk) if road == TIFF else pixels
        try:
            run = _prepared(source, model, choice, stride, settings.threads)
            result = _streamed(run, profile) if road == NOTHING else _published(run, profile, settings)
        finally:
            source.close()
        megapixels = run.total_px / 1e6
        return {
            **result,
            "tflops": 2 * _multiply_adds(run) * result["mpx_per_second"] / megapixels / 1e12,
            "tiles": len(run.memory.tiles),
            "kept_yx": _largest_kept(run),
            "megapixels": megapixels,
        }

    with DeviceMemory() as memory:
        runs = [once() for _ in range(settings.repeats + 1)][1:]
    middle = statistics.median(one["mpx_per_second"] for one in runs)
    typical = min(runs, key=lambda one: abs(one["mpx_per_second"] - middle))
    return {
        **typical,
        "repeats_mpx_per_second": [one["mpx_per_second"] for one in runs],
        "device_bytes": memory.peak_bytes,
    }


def _prepared(source: ImageSource, model: Model, choice: EngineChoice, stride: int | None, threads: int) -> Run:
    """Plan a run as a user gets it, or in tiles that keep at most `stride` px a side, with the memory for them.

    What this process holds already of CUDA and earlier measurements comes on top of the budget that a user has.
    """
    from unetctl.runtime.memory import default_budget_bytes
    from unetctl.runtime.plan import plan_tiles_within
    from unetctl.runtime.run import Resources, baseline_bytes, prepare
    from unetctl.runtime.system import free_memory_bytes

    budget = default_budget_bytes() + baseline_bytes()
    if stride is not None:
        budget = max(budget, free_memory_bytes() // 2)
    run = prepare(source, model, choice, Resources.of_this_machine(max_memory_bytes=budget, threads=threads))
    if stride is None:
        return run
    tiles = run.memory.tiles
    planned = plan_tiles_within(tiles.image_yx, (stride, stride), depth=tiles.depth, chunk_px=tiles.chunk_px)
    if planned is None:
        raise ValueError(f"tiles of {stride} px hold no chunk of {tiles.chunk_px} px")
    return replace(run, memory=replace(run.memory, tiles=planned))


def _largest_kept(run: Run) -> tuple[int, int]:
    """Return the pixels that the largest tile of a plan keeps, before the image ends."""
    from unetctl.runtime.geometry import margin_px

    height, width = run.memory.tiles.read_shapes()[0]
    margin = 2 * margin_px(run.model.spec.depth)
    return height - margin, width - margin


def _multiply_adds(run: Run) -> int:
    from unetctl.runtime.cost import layers

    spec = run.model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    return run.memory.tiles.multiply_adds(network) * run.source.info.planes


def _published(run: Run, profile: Profile, settings: Settings) -> dict[str, Any]:
    """Write the labels, and return what the run's own report says."""
    from unetctl.runtime.segmentation import segment_run

    report = segment_run(run, settings.folder / "labels.ome.tif", overwrite=True, profile=profile)
    stages = [asdict(one) for one in report.profile.stages] if report.profile else []
    return {
        "mpx_per_second": report.mpx_per_second,
        "network_share": report.engine_share,
        "seconds": dict(report.seconds),
        "stages": stages,
        "label_bytes_per_px": next(one["bytes_out"] for one in stages if one["stage"] == "write") / run.total_px,
    }


def _streamed(run: Run, profile: Profile) -> dict[str, Any]:
    """Stream the tiles and let the labels go."""
    from unetctl.runtime.run import label

    begun = time.perf_counter()
    timings = label(run, Forget(), profile=profile)
    total = time.perf_counter() - begun
    stages = timings.stages
    working = stages.wall + timings.statistics
    return {
        "mpx_per_second": run.total_px / 1e6 / working,
        "network_share": stages.compute / working,
        "seconds": {"total": total, "start": total - working, "tiles": stages.wall, "network": stages.compute},
        "stages": [asdict(one) for one in profile.stages(dict.fromkeys(STAGES, (0, 0)))],
    }
