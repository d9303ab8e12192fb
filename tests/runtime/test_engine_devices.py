"""Two GPUs share the tiles of an image: the bytes are those of one, and both work."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.engine_contract import EngineCase
from tests.fake_api import Code
from tests.fake_gpu import FakeGpu, build_here, integer_case, request_for
from tests.models import random_pixels
from unetctl.runtime.engine import Engine
from unetctl.runtime.engine_devices import open_on_devices
from unetctl.runtime.engine_tensorrt import TensorRtEngine
from unetctl.runtime.engines import EngineChoice, EngineRequest
from unetctl.runtime.errors import ResourceError, UnavailableError, UsageError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.segmentation import segment

CHUNK = (input_px(512, 2), input_px(512, 2))


def open_on(request: EngineRequest, index: int) -> Engine:
    return TensorRtEngine(request, device=index)


@pytest.fixture
def case(tmp_path: Path) -> EngineCase:
    return integer_case(tmp_path)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: EngineCase) -> FakeGpu:
    found = FakeGpu(monkeypatch, tmp_path, devices=2)
    found.install()
    build_here(case.model, CHUNK)
    return found


def choice(*devices: int) -> EngineChoice:
    return EngineChoice(
        name="tensorrt",
        description="TensorRT on two fakes",
        reason="the test asked for it",
        open=partial(open_on_devices, devices=devices, open_on=open_on),
        bytes_needed=lambda request: 0 if max(request.shapes[0]) <= CHUNK[0] else 1 << 50,
    )


def ran_on(gpu: FakeGpu) -> dict[int, int]:
    """How much work each device did."""
    found = {0: 0, 1: 0}
    for stream in gpu.cuda.streams.streams:
        found[stream.device] += stream.done
    return found


def test_two_devices_give_the_bytes_of_one_and_both_work(gpu: FakeGpu, case: EngineCase) -> None:
    image = random_pixels(case.model.spec, (1100, 1700), 3)
    alone = segment(image, case.model, engine=choice(0))
    assert ran_on(gpu)[1] == 0
    before = ran_on(gpu)
    shared = segment(image, case.model, engine=choice(0, 1))
    np.testing.assert_array_equal(shared, alone)
    after = ran_on(gpu)
    assert all(after[device] > before[device] for device in (0, 1))
    assert len(gpu.tensorrt.built) == 1, "one plan does for both"
    assert not gpu.cuda.streams.blocks


def test_slots_are_dealt_in_turn_and_a_device_with_fewer_has_fewer(gpu: FakeGpu, case: EngineCase) -> None:
    request = request_for(case.model, [CHUNK], slots=3)
    gpu.tensorrt.activation_bytes = 220 << 20  # the fake has one memory for both: three on the first, one on the second
    with open_on_devices(request, devices=(0, 1), open_on=open_on) as engine:
        assert engine.slots == 4
        pixels = [random_pixels(case.model.spec, (1, 1, *CHUNK), seed) for seed in range(4)]
        before = ran_on(gpu)
        for slot, tiles in enumerate(pixels):
            engine.buffer(slot, CHUNK)[:] = tiles
            engine.submit(slot, None)
        for slot, tiles in enumerate(pixels):
            np.testing.assert_array_equal(engine.result(slot).labels, case.logits(tiles, 128, 1).argmax(axis=1))
        after = ran_on(gpu)
    assert after[0] - before[0] == 3 * (after[1] - before[1]) > 0


def test_gpus_of_different_kinds_are_refused(gpu: FakeGpu, case: EngineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def properties(index: int) -> Any:
        return Code.cudaSuccess, SimpleNamespace(name=f"NVIDIA Fake {index}".encode(), major=8, minor=9)

    monkeypatch.setattr(gpu.cuda, "cudaGetDeviceProperties", properties)
    with pytest.raises(UsageError, match="not of one kind") as caught:
        open_on_devices(request_for(case.model, [CHUNK]), devices=(0, 1), open_on=open_on)
    assert "NVIDIA Fake 1" in caught.value.cause


def test_a_device_that_is_not_there_is_named(gpu: FakeGpu, case: EngineCase) -> None:
    with pytest.raises(UnavailableError, match="no CUDA device 2"):
        open_on_devices(request_for(case.model, [CHUNK]), devices=(0, 2), open_on=open_on)


def test_what_fails_on_the_second_gives_back_what_the_first_has(gpu: FakeGpu, case: EngineCase) -> None:
    gpu.tensorrt.activation_bytes = 300 << 20  # three fit, all of them on the first
    with (
        pytest.raises(ResourceError),
        open_on_devices(request_for(case.model, [CHUNK], slots=3), devices=(0, 1), open_on=open_on),
    ):
        pass
    assert not gpu.cuda.streams.device_bytes()
