"""The torch engine on a fake GPU, which computes on the processor: the contract, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine_contract import LARGE, SMALL, EngineCase, EngineContract, read_case
from tests.fake_torch_cuda import FakeEvent, FakeStream, FakeTorchCuda
from tests.models import random_pixels, tiny_model
from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.runtime.check import check_model
from unetctl.runtime.cuda_words import LOST
from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import ResourceError, UnavailableError, UsageError
from unetctl.runtime.precision import Precision
from unetctl.trainer import torch_cuda
from unetctl.trainer.engine_torch import TorchEngine, checkpoint_model, torch_choice
from unetctl.trainer.torch_cuda import TorchCudaEngine


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, case: EngineCase, plain: EngineCase) -> FakeTorchCuda:
    """A GPU beside models that were exported before it came."""
    found = FakeTorchCuda()
    found.install(monkeypatch)
    return found


@pytest.fixture
def case(tmp_path: Path) -> EngineCase:
    return read_case(tiny_model(tmp_path, classes=3, integer=True))


@pytest.fixture
def plain(tmp_path: Path) -> EngineCase:
    """Weights as they are, so that fewer bits matter."""
    folder = tmp_path / "plain"
    folder.mkdir()
    return read_case(tiny_model(folder))


class TestOnAFakeGpu(EngineContract):
    @pytest.fixture(autouse=True)
    def _keep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        FakeTorchCuda().install(self._monkeypatch)
        return TorchCudaEngine(case.checkpoint, request, device="cpu")


def opened(case: EngineCase, *, slots: int = 2, **changes: Any) -> TorchCudaEngine:
    request = EngineRequest(model=case.model, shapes=(LARGE, SMALL), batch=1, slots=slots, threads=1, **changes)
    return TorchCudaEngine(case.checkpoint, request, device="cpu")


def wrong_labels(engine: Engine, case: EngineCase) -> int:
    """Run tiles of both shapes, two in flight; count the labels that are not PyTorch's on the processor."""
    shapes, wrong = [LARGE, SMALL, SMALL, LARGE, LARGE], 0
    tiles = [random_pixels(case.model.spec, (1, 1, *shape), seed) for seed, shape in enumerate(shapes)]
    for index in range(len(tiles) + 1):
        if index < len(tiles):
            engine.buffer(index % 2, shapes[index])[:] = tiles[index]
            engine.submit(index % 2, None)
        if index:
            expected = case.logits(tiles[index - 1], 128, 1).argmax(axis=1)
            wrong += int((engine.result((index - 1) % 2).labels != expected).sum())
    return wrong


def test_each_shape_is_a_graph_that_is_replayed_without_tf32_and_without_timing(
    gpu: FakeTorchCuda, case: EngineCase
) -> None:
    with opened(case) as engine:
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 5
    assert gpu.flags == {(False, False)}
    assert next(case.checkpoint.network.parameters()).is_contiguous(), "the checkpoint is as it was"


def test_what_is_submitted_waits_on_streams_and_nothing_waits_for_it(gpu: FakeTorchCuda, case: EngineCase) -> None:
    with opened(case) as engine:
        for slot in range(2):
            engine.buffer(slot, LARGE)[:] = 0
            engine.submit(slot, None)
        compute, *copies = gpu.streams
        assert [len(one.pending) for one in copies] == [3, 3], "a copy in, the wait for the network, a copy out"
        assert len(compute.pending) == 8
        engine.result(0)
        assert [len(one.pending) for one in gpu.streams] == [4, 0, 3], "no slot waits for another"
        engine.result(1)


def test_streams_that_go_ahead_of_each_other_change_nothing(gpu: FakeTorchCuda, case: EngineCase) -> None:
    gpu.others_first = True
    with opened(case) as engine:
        assert wrong_labels(engine, case) == 0


def test_what_cannot_be_recorded_runs_call_by_call(
    gpu: FakeTorchCuda, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.can_be_captured = False
    with opened(case) as engine:
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 0
    assert "call by call" in caplog.text


def test_where_the_memory_holds_no_graph_it_runs_call_by_call(
    gpu: FakeTorchCuda, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.has_room_for_graphs = False
    with opened(case) as engine:
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 0
    assert "call by call" in caplog.text


def test_every_shape_ran_before_one_is_recorded(
    gpu: FakeTorchCuda, case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, real = 0, TorchCudaEngine._record

    def record(engine: TorchCudaEngine, lane: torch_cuda.Lane) -> None:
        nonlocal recorded
        assert len(engine._lanes) == 2
        assert not any(one.outputs for one in engine._lanes.values() if one.graph is None), "their memory is free again"
        real(engine, lane)
        recorded += 1

    monkeypatch.setattr(TorchCudaEngine, "_record", record)
    with opened(case):
        assert recorded == 2


def no_wait_for_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    no_wait_on(monkeypatch, is_for_networks=True)


def no_wait_for_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    no_wait_on(monkeypatch, is_for_networks=False)


def no_wait_on(monkeypatch: pytest.MonkeyPatch, *, is_for_networks: bool) -> None:
    real = FakeStream.wait_event

    def wait_event(stream: FakeStream, event: FakeEvent) -> None:
        if (stream in stream.cuda.streams[::3]) != is_for_networks:  # one for networks, two of slots
            real(stream, event)

    monkeypatch.setattr(FakeStream, "wait_event", wait_event)


def no_wait_for_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEvent, "synchronize", lambda _: None)


def graphs_of_other_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels are copied where no graph looks."""
    real = TorchCudaEngine._record

    def record(engine: TorchCudaEngine, lane: torch_cuda.Lane) -> None:
        real(engine, lane)
        lane.inputs = tuple(one.clone() for one in lane.inputs)

    monkeypatch.setattr(TorchCudaEngine, "_record", record)


@pytest.mark.parametrize(
    "defect", [no_wait_for_pixels, no_wait_for_networks, no_wait_for_labels, graphs_of_other_memory]
)
def test_these_tests_see_a_wait_and_a_copy_that_are_missing(
    gpu: FakeTorchCuda,
    case: EngineCase,
    monkeypatch: pytest.MonkeyPatch,
    defect: Callable[[pytest.MonkeyPatch], None],
) -> None:
    defect(monkeypatch)
    wrong = 0
    for gpu.others_first in (False, True):  # each order hides a defect that the other shows
        with opened(case) as engine:
            wrong += wrong_labels(engine, case)
    assert wrong > 100


def test_too_little_memory_for_one_tile_says_what_is_needed_and_free(gpu: FakeTorchCuda, case: EngineCase) -> None:
    gpu.slots_with_room = 0
    with pytest.raises(ResourceError, match=r"MiB are needed, 1,100\.0 MiB are free") as caught, opened(case):
        pass
    assert exit_code(caught.value) is ExitCode.RESOURCE


def test_where_the_memory_does_not_hold_every_slot_those_that_it_holds_do_the_work(
    gpu: FakeTorchCuda, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.slots_with_room = 2 * 3 + 1
    with opened(case, slots=3) as engine:
        assert engine.slots == 2
        assert wrong_labels(engine, case) == 0
    assert "too little memory for 3 tiles in flight: going on with 2" in caplog.text


@pytest.mark.parametrize("code", ["cudaErrorLaunchFailure", "cudaErrorIllegalAddress", "cudaErrorDevicesUnavailable"])
def test_a_lost_device_ends_with_69(gpu: FakeTorchCuda, case: EngineCase, code: str) -> None:
    with pytest.raises(UnavailableError, match="GPU was lost") as caught, opened(case) as engine:  # noqa: PT012
        gpu.lose_after = 2, LOST[code]
        wrong_labels(engine, case)
    assert exit_code(caught.value) is ExitCode.UNAVAILABLE
    assert LOST[code] in caught.value.cause


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_precision_that_was_asked_for_is_computed_in_and_passes_the_golden_tiles(
    gpu: FakeTorchCuda, plain: EngineCase, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = plain.checkpoint
    monkeypatch.setattr(
        "unetctl.trainer.engine_torch.TorchCudaEngine",
        lambda given, request: TorchCudaEngine(given, request, device="cpu"),
    )
    choice, model = torch_choice(checkpoint, precision=precision), checkpoint_model(checkpoint)
    assert choice.is_tried_first
    assert choice.precision(model) == precision
    (row,) = check_model(model, {"torch": choice.open}, precision=precision)
    assert row.passed
    tile = model.golden[0]
    request = EngineRequest(model=model, shapes=(tile.image.shape[1:],), batch=1, slots=1, threads=1)  # type: ignore[arg-type]
    with choice.open(request) as engine:
        kinds = {one.dtype for one in engine._network.parameters()}  # type: ignore[attr-defined]
    assert kinds == {torch.float16 if precision == "fp16" else torch.bfloat16}


def test_on_a_gpu_even_fp32_is_tried_first_and_memory_limits_the_tiles(gpu: FakeTorchCuda, case: EngineCase) -> None:
    choice = torch_choice(case.checkpoint)
    assert (choice.is_tried_first, choice.hint) == (True, None)
    assert choice.fixed_shapes(checkpoint_model(case.checkpoint)), "1.1 GiB is too little for the largest"
    assert not torch_choice(case.checkpoint, device="cpu").is_tried_first


def test_on_a_processor_bf16_is_what_was_asked_for_and_other_precisions_are_refused(plain: EngineCase) -> None:
    case = plain
    choice, model = torch_choice(case.checkpoint, device="cpu", precision="bf16"), checkpoint_model(case.checkpoint)
    (row,) = check_model(model, {"torch": choice.open}, precision=choice.precision(model))
    assert row.passed
    assert row.precision == "bf16"
    image = random_pixels(case.model.spec, (1, 1, *LARGE))
    labels = []
    for hint in (None, Precision.BF16):
        request = EngineRequest(model=case.model, shapes=(LARGE,), batch=1, slots=1, threads=1, hint=hint)
        with TorchEngine(case.checkpoint, request) as engine:
            engine.buffer(0, LARGE)[:] = image
            engine.submit(0, None)
            labels.append(engine.result(0).labels.copy())
            kinds = {one.dtype for one in engine._graph.parameters()}
        assert kinds == {torch.float32 if hint is None else torch.bfloat16}
    assert np.mean(labels[0] != labels[1]) < 0.05
    with pytest.raises(UnavailableError, match="fp16"):
        torch_choice(case.checkpoint, device="cpu", precision="fp16")
    with pytest.raises(UsageError, match="int8"):
        torch_choice(case.checkpoint, device="cpu", precision="int8")
