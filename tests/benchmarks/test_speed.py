from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from benchmarks.bare import seconds_of, tiles_of
from benchmarks.hand_written import STEP_PX, label
from benchmarks.matrix_peak import gflops
from benchmarks.share import share_table
from benchmarks.speed import LOOP, PEAK, speed_table, spread
from benchmarks.speed_models import in_colour, made_slide
from benchmarks.speed_runs import FailedError, timed
from tests.models import integer_network, integer_spec, tiny_checkpoint
from unetctl.runtime.plan import plan_tiles
from unetctl.runtime.spec import ModelSpec


def test_a_command_is_timed_by_the_clock_and_by_its_work() -> None:
    asleep = timed([sys.executable, "-c", "import time; time.sleep(0.5); print(1)"])
    assert asleep.output == "1\n"
    assert asleep.seconds > 0.5 > asleep.processor_seconds > 0


def test_what_a_failing_command_says_is_told() -> None:
    with pytest.raises(FailedError, match="ended with 3: out of ink"):
        timed([sys.executable, "-c", "import sys; print('out of ink', file=sys.stderr); sys.exit(3)"])


def test_the_hand_written_loop_is_right_where_its_step_fits_the_pooling(tmp_path: Path) -> None:
    network = integer_network(depth=2)
    checkpoint = tiny_checkpoint(tmp_path / "model.safetensors", network, integer_spec(network))
    image = np.random.default_rng(0).integers(0, 4, (STEP_PX + 60, 300), dtype=np.uint8)
    spec = integer_spec(network)
    pixels = (np.pad(image, 20, mode="reflect").astype(np.float32) - spec.normalisation.shift[0]) * (
        spec.normalisation.scale[0]
    )
    with torch.inference_mode():
        untiled = network(torch.from_numpy(pixels[None, None]))[0].argmax(dim=0).numpy()
    np.testing.assert_array_equal(label(image, checkpoint), untiled)


def report_of(side_px: int, max_area_px: int, spec: ModelSpec) -> dict[str, Any]:
    plan = plan_tiles((side_px, side_px), depth=spec.depth, max_area_px=max_area_px)
    return {"image_yx": [side_px, side_px], "read_shapes": [list(shape) for shape in plan.read_shapes()]}


def test_the_bare_engine_gets_the_tiles_of_the_command() -> None:
    spec = integer_spec(integer_network(depth=2))
    report = report_of(700, 512 * 512, spec)
    plan = tiles_of(json.loads(json.dumps(report)), spec)
    seen: list[tuple[int, ...]] = []
    assert seconds_of(lambda tile: seen.append(tile.shape), plan, 1) >= 0
    warm = len(plan.read_shapes())
    assert seen[warm:] == [(1, 1, *tile.read.shape) for tile in plan.tiles()]
    with pytest.raises(SystemExit, match="is not that of the command"):
        tiles_of({**report, "image_yx": [300, 300]}, spec)


def round_of(segment: float, bare: float, wall: float) -> dict[str, Any]:
    report = {"mpx_per_second": segment, "engine_share": 0.97, "peak_memory_bytes": 500e6}
    ours = {"seconds": wall, "output": report}
    return {
        PEAK: {"fp32": 400.0, "bf16": 900.0},
        "openvino bf16": {"segment": ours, "bare": {"mpx_per_second": bare}},
        LOOP: {"seconds": 40.0, "peak_memory_bytes": 650e6},
    }


def test_the_table_tells_medians_of_the_ratios_and_not_ratios_of_medians() -> None:
    text = speed_table([round_of(1.9, 2.0, 8.0), round_of(0.9, 1.0, 10.0), round_of(2.4, 2.5, 5.0)])
    assert "| openvino bf16 | 0.950 (0.900-0.960) | 0.970 | 5.0 (4.0-8.0) | 1.900 (0.900-2.400) |" in text
    assert "| hand-written loop, fp32 |" in text
    assert spread([2.0], 1) == "2.0"


def test_a_matrix_product_has_a_speed() -> None:
    assert 0 < gflops(torch.float32, side=64, seconds=0.01) < 1e5


def shared_round(share: float) -> dict[str, Any]:
    stages = [{"stage": name, "processor": 1.25} for name in ("read", "network", "write", "finish")]
    seconds = {"total": 9.0, "start": 1.0, "network_waited": 0.03}
    report = {"engine_share": share, "image_yx": [8192, 4096], "mpx_per_second": 2.0, "seconds": seconds}
    return {"openvino int8": {"output": {**report, "profile": {"stages": stages}}}}


def test_the_table_of_shares_tells_what_the_network_waited_and_every_stage_took() -> None:
    text = share_table([shared_round(0.95), shared_round(0.97), shared_round(0.96)])
    assert "| openvino int8 | 8192 x 4096 | 0.960 (0.950-0.970) | 0.03 | 2.00 | 8.0 | 1.2 | 1.2 | 1.2 | 1.2 |" in text


def test_a_coloured_slide_is_jpeg_of_the_same_cells(tmp_path: Path) -> None:
    gray = np.tile(np.arange(256, dtype=np.uint8), (512, 2))
    tifffile.imwrite(tmp_path / "slide512.tif", gray)
    with tifffile.TiffFile(made_slide(tmp_path, 512, "rgb")) as file:
        page = file.pages.first
        assert (page.compression.name, page.photometric.name) == ("JPEG", "YCBCR")
        found = page.asarray()
    assert found.shape == (512, 512, 3)
    assert np.abs(found.astype(int) - in_colour(gray)).mean() < 3
