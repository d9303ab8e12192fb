"""A bare engine on ready tiles: `python -m benchmarks.bare ENGINE PRECISION MODEL REPORT`, in a process of its own.

REPORT is what `unetctl segment --json` printed: the same tiles are labelled, in the same order, with as many threads,
but they lie ready in memory, and nothing is done with the labels. What is left is what the library can do. Nothing of
unetctl's own engines is used. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.cost import layers
from unetctl.runtime.geometry import margin_px
from unetctl.runtime.model import read_model_spec
from unetctl.runtime.plan import TilePlan, plan_tiles
from unetctl.runtime.spec import ModelSpec
from unetctl.runtime.system import processors

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's names. What an int8 graph leaves in floating point is computed in fp32, as `unetctl segment` does."""

Run = Callable[[NDArray[np.uint8]], Any]


def tiles_of(report: dict[str, Any], spec: ModelSpec) -> TilePlan:
    """Return the plan of a report: the cheapest whose tiles are no larger than the largest that was used."""
    height, width = (side - 2 * margin_px(spec.depth) for side in report["read_shapes"][0])
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    tiles = plan_tiles(tuple(report["image_yx"]), depth=spec.depth, max_area_px=height * width, network=network)
    if [list(shape) for shape in tiles.read_shapes()] != [list(shape) for shape in report["read_shapes"]]:
        sys.exit(f"the plan {tiles.read_shapes()} is not that of the command: {report['read_shapes']}")
    return tiles


def open_onnxruntime(model: Path, threads: int) -> Run:
    """Return what runs one tile in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda tile: session.run(None, {"image": tile})


def open_openvino(model: Path, threads: int, hint: str, tiles: TilePlan, channels: int) -> Run:
    """Return what runs one tile in OpenVINO; for one size only where all tiles have the same, as anybody would."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads)}
    core, shapes = openvino.Core(), tiles.read_shapes()
    graph = core.read_model(str(model))
    if len(shapes) == 1:
        graph.reshape({"image": [1, channels, *shapes[0]]})
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    return lambda tile: request.infer({"image": tile}, share_inputs=True)


def seconds_of(run: Run, tiles: TilePlan, channels: int) -> float:
    """Return how long all tiles take, one after the other, after a first call of each shape."""
    draw = np.random.default_rng(0)
    ready = {shape: draw.integers(0, 256, (1, channels, *shape), dtype=np.uint8) for shape in tiles.read_shapes()}
    for tile in ready.values():
        run(tile)
    begun = time.perf_counter()
    for window in tiles.tiles():
        run(ready[window.read.shape])
    return time.perf_counter() - begun


def main() -> None:
    """Run one engine, and print its speed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=("onnxruntime", "openvino"))
    parser.add_argument("precision", choices=tuple(HINTS))
    parser.add_argument("model", type=Path)
    parser.add_argument("report", type=Path)
    options = parser.parse_args()
    spec, _ = read_model_spec(options.model)
    tiles = tiles_of(json.loads(options.report.read_text(encoding="utf-8")), spec)
    threads = processors()
    if options.engine == "openvino":
        run = open_openvino(options.model, threads, HINTS[options.precision], tiles, len(spec.channels))
    else:
        run = open_onnxruntime(options.model, threads)
    seconds = seconds_of(run, tiles, len(spec.channels))
    height, width = tiles.image_yx
    print(json.dumps({"seconds": seconds, "mpx_per_second": height * width / 1e6 / seconds}))


if __name__ == "__main__":
    main()
