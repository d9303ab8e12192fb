"""A plan is loaded only where it was built for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.engines_made import model_at, record_of, target
from tests.runtime.fake_builder import GPU
from unetctl.runtime.engine_match import Machine, mismatch, platform_name, this_machine


@pytest.fixture(autouse=True)
def _linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def machine(name: str, **changes: Any) -> Machine:
    made_for = target(name, device=GPU)
    return replace(this_machine(made_for.library, GPU), **changes)


def test_the_machine_that_built_a_plan_may_load_it(tmp_path: Path) -> None:
    record = record_of(model_at(tmp_path / "m.onnx"), target(device=GPU))
    assert not mismatch(record, machine("tensorrt"))
    assert not mismatch(record, machine("tensorrt", driver_version="13.1")), "a newer driver runs it"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "tensorrt-rtx"}, "tensorrt-rtx was to load it"),
        ({"library_version": "11.4.0.107"}, "11.4.0.107 is installed"),
        ({"gpu": "", "compute_capability": ""}, "no GPU"),
        ({"gpu": "NVIDIA Test 2"}, "the GPU here is NVIDIA Test 2"),
        ({"compute_capability": "9.0"}, "the GPU here is NVIDIA Test 1"),
        ({"driver_version": "12.9"}, "here it is 12.9"),
        ({"driver_version": ""}, "under a driver for CUDA 13.0"),
        ({"platform": "windows-x86_64"}, "this is windows-x86_64"),
    ],
)
def test_every_difference_that_matters_to_tensorrt_is_named(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    record = record_of(model_at(tmp_path / "m.onnx"), target(device=GPU))
    assert said in mismatch(record, machine("tensorrt", **changes))


@pytest.mark.parametrize(
    ("built_for", "capability", "runs"),
    [
        ((), "8.0", True),
        ((), "8.6", True),
        ((), "12.0", True),
        ((), "12.1", True),
        ((), "7.5", False),
        ((), "8.7", False),
        ((), "9.0", False),
        ((86, 120), "8.6", True),
        ((86, 120), "12.0", True),
        ((86, 120), "8.9", False),
        ((75,), "7.5", True),
    ],
)
def test_tensorrt_for_rtx_runs_on_the_capabilities_it_was_built_for(
    tmp_path: Path, built_for: tuple[int, ...], capability: str, runs: bool
) -> None:
    made_for = target("tensorrt-rtx", compute_capabilities=built_for)
    record = record_of(model_at(tmp_path / "m.onnx"), made_for)
    why_not = mismatch(record, machine("tensorrt-rtx", gpu="Another", compute_capability=capability))
    assert runs == (not why_not)
    assert runs or f"has {capability}" in why_not


def test_tensorrt_for_rtx_goes_from_linux_to_windows_but_to_no_other_processor(tmp_path: Path) -> None:
    record = record_of(model_at(tmp_path / "m.onnx"), target("tensorrt-rtx"))
    assert not mismatch(record, machine("tensorrt-rtx", platform="windows-x86_64"))
    assert "this is aarch64" in mismatch(record, machine("tensorrt-rtx", platform="linux-aarch64"))
    assert "1.8.0.1 is installed" in mismatch(record, machine("tensorrt-rtx", library_version="1.8.0.1"))


@pytest.mark.parametrize(
    ("system", "processor", "name"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Windows", "AMD64", "windows-x86_64"),
        ("Linux", "aarch64", "linux-aarch64"),
        ("Darwin", "arm64", "darwin-aarch64"),
    ],
)
def test_a_platform_has_one_name(monkeypatch: pytest.MonkeyPatch, system: str, processor: str, name: str) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: processor)
    assert platform_name() == name
