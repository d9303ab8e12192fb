"""`unetctl doctor` says what can run, what cannot, and how to change it."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Type
from unetctl.cli import doctor as doctor_module
from unetctl.runtime.engines import ENGINES, EngineStatus


def replace_engines(monkeypatch: pytest.MonkeyPatch, *statuses: EngineStatus) -> None:
    monkeypatch.setattr(doctor_module, "engine_statuses", lambda: statuses)


def test_every_engine_is_named(unetctl: Type) -> None:
    said = unetctl("doctor", "--json")
    found = json.loads(said.out)
    assert said.code == 0
    assert [one["name"] for one in found["engines"]] == [*ENGINES, "torch"]
    assert set(found) == {
        *("version", "python", "system", "cores", "bf16", "free_memory_bytes", "engines", "missing", "problems")
    }


def test_an_engine_that_cannot_run_says_why_and_how_to_get_it(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    usable = EngineStatus(name="one", version="1.0", usable=True, device="CPU")
    absent = EngineStatus(name="two", version="", usable=False, why_not="it is not installed", hint="pip install two")
    replace_engines(monkeypatch, usable, absent)
    said = unetctl("doctor")
    assert said.code == 0
    assert "can run: 1.0 on CPU" in said.out
    assert "cannot run: it is not installed; pip install two" in said.out


def test_no_engine_at_all_is_a_problem(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_engines(monkeypatch, EngineStatus(name="one", version="", usable=False, why_not="no"))
    said = unetctl("doctor")
    assert said.code == 1
    assert 'pip install "unetctl[cpu]"' in said.err


def test_packages_that_overwrite_each_other_are_a_problem(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EngineStatus(
        name="onnxruntime", version="1.0", usable=True, device="CPU", why_not="two are installed", hint="pip uninstall"
    )
    replace_engines(monkeypatch, broken)
    said = unetctl("doctor")
    assert said.code == 1
    assert "problem: onnxruntime: two are installed; pip uninstall" in said.err
    assert json.loads(unetctl("doctor", "--json").out)["problems"]


def test_a_part_that_is_not_installed_says_how_to_get_it(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "_is_installed", lambda module: module not in ("onnx", "torch"))
    said = unetctl("doctor")
    assert 'needs torch, onnx: pip install "unetctl[export]"' in said.out
    assert "torch is not installed" in said.out
