"""Which TensorRT is taken, and what is said of one that is not there or not fit."""

from __future__ import annotations

import sys
from enum import IntEnum
from pathlib import Path
from types import ModuleType

import pytest

from unetctl.runtime.errors import UnavailableError
from unetctl.runtime.tensorrt_library import library_for_gpu, load_tensorrt


def installed(monkeypatch: pytest.MonkeyPatch, name: str, version: str) -> None:
    module = ModuleType(name)
    module.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106", "12.0"])
def test_every_version_from_10_3_on_is_taken(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, "tensorrt", version)
    found = load_tensorrt("tensorrt")
    assert (found.name, found.version, found.is_rtx) == ("tensorrt", version, False)


@pytest.mark.parametrize("version", ["10.2.0", "10.2.0.post1", "8.6.1", "9.3", "unknown", ""])
def test_older_ones_are_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, "tensorrt", version)
    with pytest.raises(UnavailableError, match="too old") as caught:
        load_tensorrt("tensorrt")
    assert "10.3" in caught.value.cause


def test_tensorrt_for_rtx_has_versions_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "tensorrt_rtx", "1.7.1.116")
    assert load_tensorrt("tensorrt-rtx").is_rtx
    installed(monkeypatch, "tensorrt_rtx", "1.6.0")
    with pytest.raises(UnavailableError, match="too old"):
        load_tensorrt("tensorrt-rtx")


@pytest.mark.parametrize(("name", "extra"), [("tensorrt", "unetctl[trt]"), ("tensorrt-rtx", "unetctl[trt-rtx]")])
def test_a_missing_one_is_said_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    with pytest.raises(UnavailableError, match=f"{name} is not installed") as caught:
        load_tensorrt(name)
    assert extra in caught.value.hint


@pytest.mark.parametrize(("capability", "is_known"), [("8.9", True), ("12.0", True), ("9.0", False), ("8.7", False)])
def test_that_for_rtx_is_taken_only_for_gpus_that_it_builds_for(
    monkeypatch: pytest.MonkeyPatch, capability: str, is_known: bool
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    installed(monkeypatch, "tensorrt_rtx", "1.7.1.116")
    members = ["CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]
    sys.modules["tensorrt_rtx"].ComputeCapability = IntEnum("ComputeCapability", members)  # type: ignore[attr-defined]
    if is_known:
        assert library_for_gpu(capability).is_rtx
        installed(monkeypatch, "tensorrt", "11.4.0.106")
        assert not library_for_gpu(capability).is_rtx, "TensorRT, where both are there"
        return
    with pytest.raises(UnavailableError, match=f"nothing for compute capability {capability}") as caught:
        library_for_gpu(capability)
    assert "unetctl[trt]" in caught.value.hint


def test_one_whose_libraries_cannot_be_loaded_is_no_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(UnavailableError, match="cannot be loaded") as caught:
        load_tensorrt("tensorrt")
    assert "libnvinfer.so.10" in caught.value.cause
