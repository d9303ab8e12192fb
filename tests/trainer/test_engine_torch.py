"""The torch engine: the same contract as every other, straight from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine_contract import SMALL, EngineCase, EngineContract, read_case
from tests.fakes import engine_request
from tests.models import tiny_model
from unetctl.runtime.check import check_model
from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import UnavailableError
from unetctl.trainer.engine_torch import checkpoint_model, status, torch_choice
from unetctl.trainer.torch_cuda import TorchCudaEngine


class TestTorch(EngineContract):
    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        return torch_choice(case.checkpoint, device="cpu").open(request)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT RUN: no CUDA device")
class TestTorchOnCuda(EngineContract):
    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        return torch_choice(case.checkpoint, device="cuda").open(request)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT RUN: no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_gpu_gives_the_labels_of_the_golden_tiles_in_each_precision(tmp_path: Path, precision: str) -> None:
    checkpoint = read_case(tiny_model(tmp_path)).checkpoint
    choice = torch_choice(checkpoint, device="cuda", precision=precision)
    (row,) = check_model(checkpoint_model(checkpoint), {"torch": choice.open}, precision=precision)
    assert row.passed


def test_a_checkpoint_is_a_model_that_passes_its_own_check(tmp_path: Path) -> None:
    checkpoint = read_case(tiny_model(tmp_path)).checkpoint
    (row,) = check_model(checkpoint_model(checkpoint), {"torch": torch_choice(checkpoint).open})
    assert row.passed
    assert row.agreement.flips == 0


def test_the_choice_says_what_it_runs_on_and_what_it_needs(tmp_path: Path) -> None:
    checkpoint = read_case(tiny_model(tmp_path)).checkpoint
    choice = torch_choice(checkpoint)
    assert torch.__version__ in choice.description
    model = checkpoint_model(checkpoint)
    small, large = (choice.bytes_needed(engine_request(model, shape)) for shape in ((60, 60), (600, 600)))
    assert small < large
    assert status().usable


@pytest.mark.skipif(torch.cuda.is_available(), reason="NOT RUN: this machine has CUDA")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    case = read_case(tiny_model(tmp_path))
    request = EngineRequest(model=case.model, shapes=(SMALL,), batch=1, slots=1, threads=1)
    with pytest.raises(UnavailableError, match="cuda"), TorchCudaEngine(case.checkpoint, request):
        pass
