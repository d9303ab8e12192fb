"""How fast `unetctl segment` is from file to file, and in how much memory: `python -m benchmarks.speed`.

On one slide, in one run, by turns:

    bare       the tiles of the plan, ready in memory, one after the other through a bare ONNX Runtime session
    segment    the whole command but its start-up: read, decode, mirror, network, stitch, compress, pyramid, publish

Both label the same pixels with the same shapes and threads, so the ratio is what the pipeline costs. Then peak memory
is measured on slides of growing size with the same settings, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demo_data import write_slide
from benchmarks.random_model import DEPTH, make_model
from unetctl.runtime.cost import layers
from unetctl.runtime.engine_onnxruntime import open_session
from unetctl.runtime.geometry import margin_px
from unetctl.runtime.plan import TilePlan, plan_tiles
from unetctl.runtime.system import processors

BASE_CHANNELS = 32
SIDE_PX = 4096
ROUNDS = 3
MEMORY_CHANNELS = 8
"""For the table of memory: a narrow network, or the largest slide would take half an hour."""
MEMORY_SIDES_PX = (4096, 16384)
MAX_MEMORY = "3GiB"
"""For the table of memory; speed is measured with the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Megapixels labelled a second, of each round."""

    bare: tuple[float, ...]
    segment: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The pipeline's speed over the bare session's: the median of the rounds' ratios."""
        return statistics.median(ours / bare for ours, bare in zip(self.segment, self.bare, strict=True))


def segment(slide: Path, model: Path, *options: str) -> dict[str, Any]:
    """Segment `slide` in a process of its own and return the command's report."""
    program = Path(sys.executable).with_name("unetctl")
    arguments = ("--engine", "onnxruntime", "--overwrite", "--json", *options)
    command = [program, "segment", slide, "--model", model, *arguments]
    ended = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.exit(f"unetctl segment ended with {ended.returncode}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def tiles_of(report: dict[str, Any]) -> TilePlan:
    """Return the plan of a report: the cheapest whose tiles are no larger than the largest that was used."""
    height, width = (side - 2 * margin_px(DEPTH) for side in report["read_shapes"][0])
    network = layers(DEPTH, BASE_CHANNELS)
    tiles = plan_tiles(tuple(report["image_yx"]), depth=DEPTH, max_area_px=height * width, network=network)
    if [list(shape) for shape in tiles.read_shapes()] != [list(shape) for shape in report["read_shapes"]]:
        sys.exit(f"the plan {tiles.read_shapes()} is not that of the command: {report['read_shapes']}")
    return tiles


def bare_mpx_per_second(model: Path, tiles: TilePlan, threads: int) -> float:
    """Run every tile of a plan, ready in memory, through a bare session; start-up and a first call apart."""
    session = open_session(model, threads=threads)
    draw = np.random.default_rng(0)
    ready = {shape: draw.integers(0, 256, (1, 1, *shape), dtype=np.uint8) for shape in tiles.read_shapes()}
    session.run(None, {"image": ready[tiles.read_shapes()[-1]]})
    begun = time.perf_counter()
    for tile in tiles.tiles():
        session.run(None, {"image": ready[tile.read.shape]})
    height, width = tiles.image_yx
    return height * width / 1e6 / (time.perf_counter() - begun)


def measure_speed(folder: Path) -> tuple[Speed, dict[str, Any]]:
    """Measure both by turns on one slide, and return the speeds with the command's last report."""
    model, slide = make_model(folder, BASE_CHANNELS), folder / "speed.tif"
    write_slide(slide, folder / "truth.tif", side_px=SIDE_PX)
    report = segment(slide, model)  # fills the page cache, and tells the tiles
    tiles, threads = tiles_of(report), processors()
    bare, ours = [], []
    for _ in range(ROUNDS):
        bare.append(bare_mpx_per_second(model, tiles, threads))
        report = segment(slide, model)
        ours.append(float(report["mpx_per_second"]))
    return Speed(bare=tuple(bare), segment=tuple(ours)), report


def measure_memory(folder: Path) -> list[dict[str, Any]]:
    """Segment slides of growing size with the same settings and return the reports."""
    model, reports = make_model(folder, MEMORY_CHANNELS), []
    for side in MEMORY_SIDES_PX:
        slide, truth = folder / f"slide_{side}.tif", folder / "truth.tif"
        write_slide(slide, truth, side_px=side)
        reports.append(segment(slide, model, "--max-memory", MAX_MEMORY))
    return reports


def machine() -> str:
    """Return the machine, the versions and the date, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("unetctl", "onnxruntime", "numpy", "tifffile"))
    processor = platform.processor() or platform.machine()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    today = datetime.now(UTC).date().isoformat()
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}; {today}"


def main() -> None:
    """Measure and print both tables."""
    with tempfile.TemporaryDirectory(prefix="unetctl-bench-") as temporary:
        folder = Path(temporary)
        print(machine(), flush=True)
        speed, report = measure_speed(folder)
        shapes = ", ".join(f"{height} x {width}" for height, width in report["read_shapes"])
        print(f"\nSpeed, {SIDE_PX} x {SIDE_PX} px, {BASE_CHANNELS} channels, tiles that read {shapes}, Mpx/s:\n")
        print("| round | bare session | unetctl segment | ratio |")
        print("|---|---|---|---|")
        for index, (bare, ours) in enumerate(zip(speed.bare, speed.segment, strict=True), start=1):
            print(f"| {index} | {bare:.3f} | {ours:.3f} | {ours / bare:.3f} |")
        print(f"\nmedian ratio {speed.ratio:.3f}; peak memory {report['peak_memory_bytes'] / 1e6:,.0f} MB", flush=True)
        print(f"\nPeak memory with --max-memory {MAX_MEMORY}, {MEMORY_CHANNELS} channels:\n")
        print("| image | peak, MB | Mpx/s |")
        print("|---|---|---|")
        for one in measure_memory(folder):
            height, width = one["image_yx"]
            print(f"| {width} x {height} | {one['peak_memory_bytes'] / 1e6:,.0f} | {one['mpx_per_second']:.2f} |")


if __name__ == "__main__":
    main()
