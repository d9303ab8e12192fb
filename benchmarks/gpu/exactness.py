"""Whether each engine computes the network, in each precision: the speed of a wrong result is worth nothing.

- integer network: tiled, through the whole stream, in batches; PyTorch's untiled labels, bit for bit
- golden tiles: the labels of a network of the speed runs, against PyTorch's fp32 logits on the processor
- logits of the same tiles: the largest difference, by the export's comparison or in PyTorch on the same device
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.engines import TORCH, Found, open_choice, torch_in
from benchmarks.gpu.integers import CHUNK_PX, CLASSES, LIMITS, IntegerCase, integer_case
from benchmarks.gpu.networks import NEEDS_ONNX, NEEDS_TORCH, Network, networks
from benchmarks.gpu.peaks import device_name, tf32
from benchmarks.gpu.rows import Facts, Measurement
from benchmarks.gpu.settings import Settings

if TYPE_CHECKING:
    from unetctl.runtime.engine import Engine
    from unetctl.runtime.engines import EngineChoice
    from unetctl.runtime.model import Model
    from unetctl.runtime.plan import Tile

INTEGERS = "integer network"
GOLDEN = "golden tiles"
BATCH = 3


class Keep:
    """A `LabelSink` over an array `[H, W]`; the runtime's own needs what writes files, too."""

    def __init__(self, labels_yx: NDArray[np.uint8]) -> None:
        self._labels = labels_yx

    def write(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8], *, left_out: bool = False) -> None:  # noqa: ARG002
        """Copy the labels of one tile, of the only plane."""
        window = tile.write
        self._labels[window.y0 : window.y1, window.x0 : window.x1] = labels_yx


def exactness_measurements(settings: Settings, engines: list[Found]) -> Iterator[Measurement]:
    """Yield what is to be right, every precision of every engine."""
    for found in engines:
        network = networks(settings, found.engine)[0]
        for precision in found.precisions(network):
            facts = {"engine": found.engine, "precision": precision}
            needs = NEEDS_TORCH if found.engine == TORCH else NEEDS_ONNX
            if precision in LIMITS:
                yield Measurement(
                    facts={"name": INTEGERS, **facts}, work=partial(integers, found, precision, settings), needs=needs
                )
            yield Measurement(
                facts={"name": GOLDEN, **facts, "network": network.name},
                work=partial(golden, found, precision, network),
            )


def integers(found: Found, precision: str, settings: Settings) -> Facts:
    """Compare the labels of an integer network with those of one untiled call."""
    from unetctl.runtime.engines import EngineRequest
    from unetctl.runtime.image import ArraySource
    from unetctl.runtime.plan import plan_tiles
    from unetctl.runtime.stream import stream_labels

    case = integer_case(precision, settings.exact_yx, settings.folder)
    choice, model = _choice_for(case, found, precision, settings)
    tiles = plan_tiles(settings.exact_yx, depth=case.depth, chunk_px=CHUNK_PX, max_area_px=2 * CHUNK_PX**2)
    labels = np.full((1, *settings.exact_yx), 255, np.uint8)
    request = EngineRequest(model=model, shapes=tiles.read_shapes(), batch=BATCH, slots=2, threads=settings.threads)
    with choice.open(request) as engine:
        stream_labels(ArraySource(case.pixels_cyx), tiles, engine, Keep(labels[0]), classes=CLASSES, batch=BATCH)
    wrong = int(np.count_nonzero(labels[0] != case.labels_yx))
    return {
        "passed": case.can_tell and not wrong,
        "pixels": labels.size,
        "wrong": wrong,
        "tiles": len(tiles),
        "largest_sum": case.largest_sum,
        "limit": case.limit,
        "disturbed": case.disturbed,
    }


def _choice_for(case: IntegerCase, found: Found, precision: str, settings: Settings) -> tuple[EngineChoice, Model]:
    """Open an engine for an integer network; a hint needs no verdict of an export here, because this is the test."""
    from unetctl.exporter.export import export_model
    from unetctl.runtime.engines import choose_engine
    from unetctl.runtime.model import read_model
    from unetctl.runtime.precision import Precision
    from unetctl.trainer.checkpoint import load_checkpoint
    from unetctl.trainer.engine_torch import checkpoint_model

    if found.engine == TORCH:
        checkpoint = load_checkpoint(case.checkpoint)
        return torch_in(checkpoint, precision, rehearse=settings.rehearse), checkpoint_model(checkpoint)
    hint = Precision(precision) if precision in found.hints else None
    path = case.checkpoint.with_suffix(".onnx")
    if not path.exists():
        export_model(case.checkpoint, path, precision=Precision("fp32" if hint else precision))
    model = read_model(path)
    choice = choose_engine(found.engine, model, precision="fp32" if hint else precision)
    return replace(choice, hint=hint, open=lambda request: _opened(found.engine, replace(request, hint=hint))), model


def _opened(name: str, request: Any) -> Engine:
    from unetctl.runtime.engines import open_engine

    return open_engine(name, request)


def golden(found: Found, precision: str, network: Network) -> Facts:
    """Compare labels and, where they can be had, logits with the golden tiles of a network."""
    from unetctl.runtime.check import check_model

    choice, model = open_choice(found, precision, network)
    (row,) = check_model(model, {choice.name: choice.open}, precision=precision)
    return {
        "passed": row.passed,
        **asdict(row.agreement),
        "tolerance": row.tolerance,
        "largest_logit": max(float(np.abs(one.logits).max()) for one in model.golden),
        "logit_difference": _logit_difference(found, precision, model, device_name(network.settings)),
    }


def _logit_difference(found: Found, precision: str, model: Model, device: str) -> float | None:
    """Return the largest difference of a logit: as the export measured it, or of PyTorch's own graph on the device."""
    if found.engine != TORCH:
        rows = model.record.comparison.get("rows", ())
        return next((one["logit_difference"] for one in rows if one["engine"] == found.engine), None)
    import torch

    from benchmarks.gpu.torch_graph import deploy_graph
    from unetctl.trainer.checkpoint import load_checkpoint

    graph = deploy_graph(load_checkpoint(model.path), precision, device, "logits")
    largest = 0.0
    for tile in model.golden:
        with torch.inference_mode(), tf32(False):
            (logits,) = graph(torch.from_numpy(tile.image[None]).to(device))
        largest = max(largest, float(np.abs(logits[0].cpu().numpy() - tile.logits).max()))
    return largest
