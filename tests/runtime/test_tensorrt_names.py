"""Every name of TensorRT that our code uses exists in every version that it supports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.tensorrt_names import INSTANCES, common_names, missing, recorded_names, used_names

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "runtime").glob("*tensorrt*.py"))


def test_every_name_that_is_used_exists_in_every_version() -> None:
    used: dict[str, set[tuple[str, ...]]] = {}
    for path in MODULES:
        instances = INSTANCES if path.name == "tensorrt_build.py" else {}
        used[path.name] = used_names(path.read_text("utf-8"), instances)
    found = [f"{name}: {one}" for name, names in used.items() for one in missing(names, common_names())]
    assert not found, "\n".join(found)
    assert len(used["tensorrt_build.py"]) > 20, "the walk saw too little: are the variables called otherwise?"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("trt.BuilderFlag.FP16", "BuilderFlag.FP16"),
        ("trt.NoSuchThing", "module.NoSuchThing"),
        ("self._trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY", "HardwareCompatibilityLevel"),
        ("config.build_route = 1", "IBuilderConfig.build_route"),
        ("builder.platform_has_fast_fp16", "Builder.platform_has_fast_fp16"),
        ("trt.ILogger.Severity.ERRORS", "ILogger.ERRORS"),
        ("parser.parse_model_proto(x)", "OnnxParser.parse_model_proto"),
    ],
)
def test_a_seeded_name_that_some_version_lacks_is_caught(source: str, wrong: str) -> None:
    found = list(missing(used_names(source, INSTANCES), common_names()))
    assert len(found) == 1
    assert wrong in found[0]


def test_names_that_all_versions_have_are_let_through() -> None:
    source = "trt.ILogger.Severity.ERROR; trt.BuilderFlag.TF32; config.clear_flag(1); other.thing; network.num_inputs"
    assert not list(missing(used_names(source, INSTANCES), common_names()))


def test_the_common_names_are_those_of_the_recordings() -> None:
    recordings = recorded_names()
    if not recordings:
        pytest.skip("NOT RUN: the recorded names are missing; they lie in reference/ beside the shared data")
    assert len(recordings) == 4
    for key, names in common_names().items():
        assert names == frozenset.intersection(*(one[key] for one in recordings.values())), key
