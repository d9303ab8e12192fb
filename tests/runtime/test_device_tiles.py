"""Where the memory of a GPU is the limit, tiles follow it."""

from __future__ import annotations

import pytest

from tests.fake_cuda import FakeCuda
from tests.fakes import engine_request, fake_model
from unetctl.runtime.device_tiles import largest_shapes
from unetctl.runtime.engine_onnxruntime_cuda import engine_bytes, fixed_shapes
from unetctl.runtime.geometry import input_px

CHUNK = (input_px(512, 2), input_px(512, 2))


def test_the_memory_of_the_device_limits_the_tiles_and_not_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, model = FakeCuda(total_bytes=64 << 30), fake_model(depth=2, base_channels=2)
    cuda.install(monkeypatch)
    assert fixed_shapes(model) == ()
    cuda.total_bytes = 0
    assert fixed_shapes(model) == (CHUNK,)
    sizes = largest_shapes(2, 1100 * 1100, lambda shape: shape[0] * shape[1])
    assert [height for height, _ in sizes] == [input_px(512, 2), input_px(1024, 2)]
    few, many = (engine_bytes(engine_request(model, shape)) for shape in ((60, 60), CHUNK))
    assert many - few < 16 << 20, "no activations: they are on the device"
