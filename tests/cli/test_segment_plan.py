"""`unetctl segment --plan`: what would be done, and nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Type
from tests.models import tiny_model

PLAN_KEYS = {
    *("image", "image_yx", "planes", "engine", "precision", "tiles", "read_shapes", "multiply_adds"),
    *("tuned", "waste", "computed_over_kept", "continued", "notices"),
    *("expected_memory_bytes", "max_memory_bytes", "expected_disk_bytes", "expected_seconds"),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tiny_model(tmp_path / "models")


def write_image(shape: tuple[int, int]) -> Path:
    path = Path("slide.tif")
    tifffile.imwrite(path, np.zeros(shape, np.uint8))
    return path


def test_a_plan_runs_nothing_and_says_what_would_be(unetctl: Type, model: Path) -> None:
    image = write_image((1000, 900))
    said = unetctl("segment", "--plan", image, "--model", model)
    assert said.code == 0, said.err
    for word in ("nothing was run", "tiles", "multiply-adds", "for each that is kept", "allowed", "disk", "about"):
        assert word in said.out
    found = json.loads(unetctl("segment", "--plan", image, "--model", model, "--json").out)
    assert set(found) == PLAN_KEYS
    assert found["expected_seconds"] > 0
    assert [one.name for one in Path().iterdir()] == ["slide.tif"]


def test_a_plan_says_what_should_be_known_before(unetctl: Type, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_image((40, 56))
    assert json.loads(unetctl("segment", "--plan", image, "--model", model, "--json").out)["notices"] == []
    monkeypatch.setattr("unetctl.runtime.planned.planned_notices", lambda _: ("the weather is bad",))
    assert json.loads(unetctl("segment", "--plan", image, "--model", model, "--json").out)["notices"]
    said = unetctl("segment", "--plan", image, "--model", model)
    assert "the weather is bad" in said.out + said.err
