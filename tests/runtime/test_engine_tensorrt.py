"""The TensorRT engine on a fake GPU with a fake TensorRT, and on a real one: what every engine must do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine_contract import EngineCase, EngineContract
from tests.fake_gpu import FakeGpu, as_it_lies, build_here
from unetctl.runtime.engine import Engine
from unetctl.runtime.engine_tensorrt import TensorRtEngine, status
from unetctl.runtime.engines import EngineRequest


class OnFakeGpu(EngineContract):
    """The contract, with plans that `build` makes beforehand."""

    @pytest.fixture(autouse=True)
    def _keep_gpu(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.gpu = FakeGpu(monkeypatch, tmp_path)

    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        self.install()
        request = replace(request, model=as_it_lies(request.model))
        self.build(request)
        return TensorRtEngine(request)

    def install(self) -> None:
        self.gpu.install()

    def build(self, request: EngineRequest) -> None:
        raise NotImplementedError


class TestWithPlansOfItsShapes(OnFakeGpu):
    def build(self, request: EngineRequest) -> None:
        for shape in request.shapes:
            build_here(request.model, shape)


class TestWithOneLargerPlan(OnFakeGpu):
    def build(self, request: EngineRequest) -> None:
        height, width = (max(one[axis] for one in request.shapes) for axis in (0, 1))
        build_here(request.model, (height + 8, width + 12))


class TestOnTheGpuOfThisMachine(TestWithPlansOfItsShapes):
    """Real plans on a real GPU, where there is one."""

    @pytest.fixture(autouse=True)
    def _keep_gpu(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        if not (found := status()).usable:
            pytest.skip(f"NOT RUN on a GPU: {found.why_not}")
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.setenv(name, str(tmp_path / "cache"))

    def install(self) -> None:
        pass
