"""An engine file on the command line: what it is, and that nothing loads it which should not."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Type
from tests.fakes import engine_request, fake_choice, fake_model
from tests.runtime.engines_made import engine_in, target
from tests.runtime.fake_builder import GPU
from unetctl.cli import engine_models
from unetctl.cli.engine_models import GpuOptions, parse_devices
from unetctl.runtime import cuda
from unetctl.runtime.engine_file import record_path
from unetctl.runtime.engine_tensorrt import TensorRtEngine
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import UnavailableError, UsageError


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "device_count", lambda: 0)


@pytest.fixture
def plan(unetctl: Type) -> Path:
    """An engine in the current folder, without the model that it was built from."""
    path = engine_in(Path(), target(device=GPU)).path
    Path("cells.onnx").unlink()
    return path


def test_inspect_says_what_an_engine_is_without_loading_it(unetctl: Type, plan: Path) -> None:
    said = unetctl("inspect", plan)
    assert said.code == 0, said.err
    text = " ".join(said.out.split())
    assert "an engine for tensorrt" in text
    assert "32 x 16 px of a tile" in text
    assert "NVIDIA Test 1, and on no other GPU" in text
    assert "not yet: no GPU was there" in text
    facts = json.loads(unetctl("inspect", plan, "--json").out)
    assert (facts["kind"], facts["engine"]["library_version"]) == ("engine", "11.4.0.106")
    assert facts["golden_tiles"] == 1


@pytest.mark.parametrize("command", ["inspect", "check", "segment"])
def test_a_damaged_engine_is_refused_by_every_command(unetctl: Type, plan: Path, command: str) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])
    words = ("segment", "x.tif", "--model", plan) if command == "segment" else (command, plan)
    said = unetctl(*words)
    assert (said.code, "damaged" in said.err) == (65, True)
    record_path(plan).unlink()
    assert "lacks its record" in unetctl(*words).err


def test_without_a_gpu_an_engine_is_not_checked_and_not_run(unetctl: Type, plan: Path) -> None:
    for words in (("check", plan), ("segment", "x.tif", "--model", plan)):
        said = unetctl(*words)
        assert said.code == 69
        assert "no NVIDIA GPU" in said.err


def test_another_engine_cannot_run_a_plan(unetctl: Type, plan: Path) -> None:
    said = unetctl("segment", "x.tif", "--model", plan, "--engine", "openvino")
    assert (said.code, "only TensorRT loads" in said.err) == (2, True)


def test_a_plan_of_another_gpu_is_not_checked_in_its_place(
    unetctl: Type, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_models, "_why_not_here", lambda file: f"it was built on {file.record.gpu}")
    said = unetctl("check", plan)
    assert (said.code, "it was built on NVIDIA Test 1" in said.err) == (69, True)


def test_foreign_plans_are_trusted_only_where_that_was_said() -> None:
    for trust_engine in (False, True):
        loader = engine_models.plan_loader(trust_engine=trust_engine)
        assert isinstance(loader, partial)
        assert (loader.func, loader.keywords) == (TensorRtEngine, {"trust_foreign": trust_engine})
    choice = replace(fake_choice(), name="tensorrt")
    assert GpuOptions().applied(choice) is choice
    trusted = GpuOptions(trust_engine=True).applied(choice)
    assert isinstance(trusted.open, partial)
    assert isinstance(trusted.fixed_shapes, partial), "tiles are cut for foreign plans too"
    for one in (trusted.open.keywords["open_on"], trusted.fixed_shapes):
        assert one.keywords["trust_foreign"] is True
    with pytest.raises(UsageError, match="--trust-engine"):
        GpuOptions(trust_engine=True).applied(fake_choice())


def test_devices_are_counted_from_0_and_named_once() -> None:
    assert parse_devices("") == ()
    assert parse_devices("1,0,12") == (1, 0, 12)
    for text in ("0,0", "a", "0,", "-1", "0 1"):
        with pytest.raises(UsageError, match="--devices"):
            parse_devices(text)


def test_several_devices_are_said_and_their_memory_is_counted(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def status(index: int) -> EngineStatus:
        return EngineStatus(name="tensorrt", version="11.4", usable=index < 2, device=f"GPU {index}", hint="look")

    monkeypatch.setattr("unetctl.runtime.engine_tensorrt.status", status)
    slots: list[int] = []

    def bytes_needed(request: EngineRequest) -> int:
        slots.append(request.slots)
        return 0

    choice = replace(fake_choice(), name="tensorrt", bytes_needed=bytes_needed)
    shared = GpuOptions(devices=(0, 1)).applied(choice)
    assert shared.description == "tensorrt 11.4 on GPU 0, devices 0, 1"
    assert GpuOptions(devices=(1,)).applied(choice).description == "tensorrt 11.4 on GPU 1, device 1"
    with pytest.raises(UnavailableError, match="device 2"):
        GpuOptions(devices=(2, 0)).applied(choice)
    shared.bytes_needed(engine_request(fake_model(), (60, 60), slots=3))
    assert slots == [6]
    said = unetctl("segment", "x.tif", "--model", "nuclei", "--engine", "onnxruntime", "--devices", "0,1")
    assert (said.code, "--devices is for tensorrt and onnxruntime-cuda" in said.err) == (2, True)
