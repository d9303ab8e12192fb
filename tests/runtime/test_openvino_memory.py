"""What the OpenVINO engine takes, and what it was expected to take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import ROOT
from tests.engine_contract import read_case
from tests.models import tiny_model
from unetctl.runtime.engine_openvino import status
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.openvino_memory import LIBRARY_BYTES, engine_bytes
from unetctl.runtime.precision import Precision

ONE_SIZE, TWO_SIZES = ((1212, 1212),), ((1212, 1212), (1212, 700))

CHILD = """
import json, sys
from pathlib import Path
from unetctl.runtime.engines import EngineRequest, engine_bytes, engine_status, open_engine
from unetctl.runtime.model import read_model
from unetctl.runtime.precision import Precision
from unetctl.runtime.system import current_memory_bytes, peak_memory_bytes

model, shapes, hint, batch, streams = read_model(Path(sys.argv[1])), *json.loads(sys.argv[2])
shapes = tuple(tuple(shape) for shape in shapes)
hint = Precision(hint) if hint else None
asked = {"batch": batch, "slots": 2, "threads": 2, "streams": streams, "hint": hint, "caches": True}
request = EngineRequest(model=model, shapes=shapes, **asked)
before = current_memory_bytes()
with open_engine("openvino", request) as engine:
    for shape in shapes:
        for slot in range(2):
            engine.buffer(slot, shape)[:] = 0
            engine.submit(slot, None)
        for slot in range(2):
            engine.result(slot)
print(json.dumps([peak_memory_bytes() - before, engine_bytes("openvino", request)]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="NOT RUN: no peak in /proc")
@pytest.mark.parametrize(
    ("shapes", "hint", "batch", "streams"),
    [
        (ONE_SIZE, None, 1, 1),
        (TWO_SIZES, None, 1, 1),
        (ONE_SIZE, Precision.BF16, 1, 1),
        (TWO_SIZES, Precision.BF16, 1, 1),
        (((700, 700),), None, 3, 1),
        (((700, 700),), None, 1, 2),
    ],
)
def test_the_prediction_is_above_the_peak_and_near_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shapes: tuple[tuple[int, int], ...],
    hint: Precision | None,
    batch: int,
    streams: int,
) -> None:
    pytest.importorskip("openvino", reason="NOT RUN: openvino is not installed")
    if hint is not None and hint not in status().hints:
        pytest.skip(f"NOT RUN: this processor has no {hint}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tiny_model(tmp_path, base_channels=16, depth=4)
    asked = json.dumps([shapes, hint, batch, streams])
    for _ in ("compiled", "taken from the cache"):
        command = [sys.executable, "-c", CHILD, str(model), asked]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peak, predicted = json.loads(ended.stdout)
        assert peak <= predicted <= 1.4 * peak + LIBRARY_BYTES


def test_one_size_and_few_bits_take_least(tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path, depth=4)).model

    def needed(*shapes: tuple[int, int], hint: Precision | None = None) -> int:
        return engine_bytes(EngineRequest(model=model, shapes=shapes, batch=1, slots=1, threads=1, hint=hint))

    one_size, two_sizes = needed(*ONE_SIZE), needed(*TWO_SIZES)
    assert needed(*ONE_SIZE, hint=Precision.BF16) < one_size < two_sizes
