"""Plans from our own models: real ones by TensorRT for RTX, and the calls that TensorRT itself would get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.models import tiny_model
from tests.runtime.fake_builder import GPU, FakeBuilder
from tests.runtime.tensorrt_names import Names, common_names, recorded_names
from unetctl.runtime.errors import DataError, ResourceError, UnavailableError, UsageError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.tensorrt_build import BuiltPlan, build_plan
from unetctl.runtime.tensorrt_library import TensorRtLibrary

MODELS: dict[str, dict[str, Any]] = {
    "depth 1": {"depth": 1, "base_channels": 2},
    "depth 2": {},
    "depth 3": {"depth": 3, "base_channels": 2},
    "two channels, three classes": {"depth": 2, "channels": 2, "classes": 3, "integer": True},
    "16 bits, by the image": {"depth": 2, "integer": True, "scope": Scope.IMAGE, "pixel_type": PixelType.UINT16},
    "probabilities": {"depth": 2, "classes": 3, "outputs": ("labels", "probabilities")},
}


def built(library: TensorRtLibrary, path: Path, *, depth: int = 2, **changes: Any) -> BuiltPlan:
    shape = (input_px(16, depth), input_px(32, depth))
    return build_plan(path, **{"library": library, "device": None, "batch": 1, "shape": shape, **changes})


@pytest.mark.parametrize("name", MODELS)
def test_a_model_becomes_an_engine_and_the_same_one_again(rtx: TensorRtLibrary, tmp_path: Path, name: str) -> None:
    path = tiny_model(tmp_path, **MODELS[name])
    depth = MODELS[name].get("depth", 2)
    first = built(rtx, path, depth=depth)
    assert first.output_yx == (20, 36)
    assert len(first.plan) > 10_000
    assert not first.timing_cache
    again = built(rtx, path, depth=depth)
    if name == "probabilities":  # TensorRT for RTX lists two outputs in either order, whatever it is told
        again = replace(again, plan=bytes(sorted(again.plan)))
        first = replace(first, plan=bytes(sorted(first.plan)))
    assert again == first, "two builds of one model must give the same bytes"


def test_batch_tile_and_target_each_make_another_engine(rtx: TensorRtLibrary, tmp_path: Path) -> None:
    path = tiny_model(tmp_path)
    larger = (input_px(32, 2), input_px(32, 2))
    plans = [
        built(rtx, path).plan,
        built(rtx, path, batch=3).plan,
        built(rtx, path, shape=larger).plan,
        built(rtx, path, compute_capabilities=(86, 89, 120)).plan,
        built(rtx, path, compute_capabilities=(75,)).plan,
    ]
    assert len(set(plans)) == len(plans)


def test_progress_goes_forward_and_says_what_is_done(rtx: TensorRtLibrary, tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []
    built(rtx, tiny_model(tmp_path), on_progress=lambda share, phase: seen.append((share, phase)))
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.5 < shares[-1] <= 1
    assert len({phase for _, phase in seen}) > 3


def test_ctrl_c_in_the_middle_of_a_build_stops_it_and_not_the_process(rtx: TensorRtLibrary, tmp_path: Path) -> None:
    def interrupted(share: float, _: str) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    path = tiny_model(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        built(rtx, path, on_progress=interrupted)
    assert built(rtx, path).plan


@pytest.mark.parametrize("shape", [(61, 52), (20, 20)])
def test_a_tile_that_the_network_cannot_take_is_refused(
    rtx: TensorRtLibrary, tmp_path: Path, shape: tuple[int, int]
) -> None:
    with pytest.raises(DataError, match=f"{shape[0]} x {shape[1]} px"):
        built(rtx, tiny_model(tmp_path), shape=shape)


def test_a_graph_that_is_refused_is_an_error_that_names_the_node(rtx: TensorRtLibrary, tmp_path: Path) -> None:
    path = tiny_model(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"MaxPool", b"MaxPoof"))
    with pytest.raises(DataError) as caught:
        built(rtx, path)
    assert "MaxPoof" in caught.value.cause


@pytest.mark.parametrize(("content", "said"), [(b"", "no input image"), (b"\x08\x08:\x90\x01", "refuses")])
def test_what_is_no_model_is_an_error(rtx: TensorRtLibrary, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(DataError, match=said):
        built(rtx, tmp_path / "bad.onnx")


@pytest.mark.parametrize(("capabilities", "cause"), [((86, 90), "90 is none"), ((86, 86), "given twice")])
def test_a_target_that_is_none_is_refused_with_those_that_are(
    rtx: TensorRtLibrary, tmp_path: Path, capabilities: tuple[int, ...], cause: str
) -> None:
    with pytest.raises(UsageError) as caught:
        built(rtx, tiny_model(tmp_path), compute_capabilities=capabilities)
    assert cause in caught.value.cause
    assert "75,80,86,89,120" in caught.value.hint


def asked(fake: FakeBuilder, folder: Path, **changes: Any) -> BuiltPlan:
    (folder / "model.onnx").write_bytes(b"model")
    return built(fake.library, folder / "model.onnx", **{"device": GPU, "batch": 2, **changes})


@pytest.fixture(params=["common", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106"])
def names(request: pytest.FixtureRequest) -> Names:
    if request.param == "common":
        return common_names()
    if request.param not in recorded_names():
        pytest.skip("NOT RUN: the recorded names are missing; they lie in reference/ beside the shared data")
    return recorded_names()[request.param]


def test_tensorrt_is_asked_for_a_strongly_typed_network_of_fixed_sizes(names: Names, tmp_path: Path) -> None:
    fake = FakeBuilder(names)
    found = asked(fake, tmp_path, timing_cache=b"earlier")
    assert (found.plan, found.timing_cache, found.output_yx) == (b"a plan", b"measured", (20, 36))
    flags = fake.module
    assert fake.arguments("Builder.create_network") == [(1 << int(flags.NetworkDefinitionCreationFlag.STRONGLY_TYPED),)]
    assert fake.arguments("OnnxParser.parse") == [(b"model",)]
    assert fake.image.shape == (2, 1, input_px(16, 2), input_px(32, 2))
    assert fake.arguments("IBuilderConfig.clear_flag") == [(flags.BuilderFlag.TF32,)]
    assert fake.arguments("IBuilderConfig.set_flag") == []
    assert fake.arguments("IBuilderConfig.set_memory_pool_limit") == [(flags.MemoryPoolType.WORKSPACE, 3 << 30)]
    assert fake.arguments("IBuilderConfig.create_timing_cache") == [(b"earlier",)]
    assert [refuse for _, refuse in fake.arguments("IBuilderConfig.set_timing_cache")] == [False]
    monitor = fake.arguments("IBuilderConfig.progress_monitor =")[0][0]
    monitor.phase_start("Building", None, 2)
    assert monitor.step_complete("Building", 0) is True


def test_a_timing_cache_of_another_gpu_is_replaced_by_an_empty_one(tmp_path: Path) -> None:
    fake = FakeBuilder(common_names(), accepts=(False, True))
    asked(fake, tmp_path, timing_cache=b"another's")
    assert fake.arguments("IBuilderConfig.create_timing_cache") == [(b"another's",), (b"",)]


def test_tensorrt_is_not_touched_without_a_gpu(tmp_path: Path) -> None:
    fake = FakeBuilder(common_names())
    with pytest.raises(UnavailableError, match="GPU"):
        asked(fake, tmp_path, device=None)
    assert not fake.calls


def test_what_tensorrt_says_of_a_failure_is_the_cause(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no kernel") as caught:
        asked(FakeBuilder(common_names(), gives=None, says="no kernel fits"), tmp_path)
    assert caught.value.cause == "no kernel fits"
    with pytest.raises(ResourceError, match="too little memory"):
        asked(FakeBuilder(common_names(), gives=None, says="Cuda failure: out of memory"), tmp_path)
    with pytest.raises(DataError, match="no such \\(at Conv c1\\)"):
        asked(FakeBuilder(common_names(), parses=False), tmp_path)
    with pytest.raises(DataError, match="labels stay free"):
        asked(FakeBuilder(common_names(), labels=(2, -1, -1)), tmp_path)


def test_a_builder_that_is_a_null_pointer_is_an_error_and_no_crash(tmp_path: Path) -> None:
    fake = FakeBuilder(common_names())

    def null(_: Any) -> Any:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    module = SimpleNamespace(**{**vars(fake.module), "Builder": null})
    with pytest.raises(UnavailableError, match="could not start"):
        built(replace(fake.library, module=module), tmp_path / "model.onnx", device=GPU)
