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
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.openvino_memory import LIBRARY_BYTES, engine_bytes
from unetctl.runtime.precision import Precision

MIB = 1 << 20
OTHER_COLUMN = (1212, 700)

CHILD = """
import json, resource, sys
from pathlib import Path
from unetctl.runtime.engines import EngineRequest, engine_bytes, open_engine
from unetctl.runtime.model import read_model
from unetctl.runtime.system import current_memory_bytes, peak_memory_bytes

model = read_model(Path(sys.argv[1]))
shapes = tuple(tuple(shape) for shape in json.loads(sys.argv[2]))
request = EngineRequest(model=model, shapes=shapes, batch=1, slots=1, threads=2)
before = current_memory_bytes()
with open_engine("openvino", request) as engine:
    for shape in shapes:
        engine.buffer(0, shape)[:] = 0
        engine.submit(0, None)
        engine.result(0)
print(json.dumps([peak_memory_bytes() - before, engine_bytes("openvino", request)]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="NOT RUN: no peak in /proc")
@pytest.mark.parametrize("shapes", [((1212, 1212),), ((1212, 1212), OTHER_COLUMN)], ids=["one size", "two sizes"])
def test_the_prediction_is_above_the_peak_and_near_it(tmp_path: Path, shapes: tuple[tuple[int, int], ...]) -> None:
    pytest.importorskip("openvino", reason="NOT RUN: openvino is not installed")
    model = tiny_model(tmp_path, base_channels=16, depth=4)
    command = [sys.executable, "-c", CHILD, str(model), json.dumps(shapes)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peak, predicted = json.loads(ended.stdout)
    assert peak <= predicted <= 1.4 * peak + LIBRARY_BYTES


def test_one_size_and_few_bits_take_least(tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path)).model

    def needed(*shapes: tuple[int, int], hint: Precision | None = None) -> int:
        return engine_bytes(EngineRequest(model=model, shapes=shapes, batch=1, slots=1, threads=1, hint=hint))

    one_size, two_sizes = needed((1212, 1212)), needed((1212, 1212), OTHER_COLUMN)
    assert needed((1212, 1212), hint=Precision.BF16) < one_size < two_sizes
