"""The model in the box: that it is there, whole, small and right, and that its card is about it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from unetctl.runtime import segment
from unetctl.runtime.builtin import BUILTIN_MODELS, builtin_card, builtin_model, builtin_name
from unetctl.runtime.check import check_model
from unetctl.runtime.engines import engine_status, open_engine
from unetctl.runtime.errors import MissingInputError
from unetctl.runtime.model import read_model
from unetctl.runtime.spec import PixelType, Scope

MOST_BYTES = 5_000_000


@pytest.mark.parametrize("name", BUILTIN_MODELS)
def test_every_built_in_model_is_there_whole_and_small(name: str) -> None:
    path = builtin_model(name)
    assert path.stat().st_size <= MOST_BYTES
    assert read_model(path).spec.name == name


def test_nuclei_takes_one_gray_channel_and_finds_one_class() -> None:
    spec = read_model(builtin_model("nuclei")).spec
    assert spec.channels == ("gray",)
    assert spec.pixel_type is PixelType.UINT16  # and so 8 bits too
    assert spec.normalisation.scope is Scope.IMAGE
    assert [one.name for one in spec.classes] == ["background", "nucleus"]
    assert spec.background == 0


def test_it_gives_pytorchs_labels_on_every_engine_here() -> None:
    model = read_model(builtin_model("nuclei"))
    engines = {one.name: partial(open_engine, one.name) for one in engine_status() if one.usable}
    rows = check_model(model, engines)
    assert rows
    assert all(row.passed for row in rows)


def test_it_finds_bright_discs_on_a_dark_ground_at_any_brightness() -> None:
    y, x = np.mgrid[:200, :260]
    discs = np.zeros(y.shape, bool)
    for row, column, radius in ((50, 60, 12), (60, 180, 16), (140, 100, 10), (150, 210, 14)):
        discs |= (y - row) ** 2 + (x - column) ** 2 < radius**2
    for bright in (40, 200):
        light = np.random.default_rng(0).poisson(np.where(discs, bright, 8)).clip(0, 255)
        labels = segment(light.astype(np.uint8), builtin_model("nuclei"))
        assert (labels[discs] == 1).mean() > 0.8
        assert (labels[~discs] == 0).mean() > 0.95


@pytest.mark.parametrize("name", BUILTIN_MODELS)
def test_its_card_is_about_these_weights(name: str) -> None:
    assert read_model(builtin_model(name)).spec.weights_sha256 in builtin_card(name).read_text("utf-8")


def test_a_path_is_known_by_its_name_and_no_other_is(tmp_path: Path) -> None:
    assert builtin_name(builtin_model("nuclei")) == "nuclei"
    assert builtin_name(builtin_card("nuclei")) is None
    assert builtin_name(tmp_path / "nuclei.onnx") is None
    assert builtin_name(Path("nuclei")) is None


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(MissingInputError, match="no built-in model cells") as error:
        builtin_model("cells")
    assert "nuclei" in error.value.hint


def test_a_file_that_was_taken_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unetctl.runtime.builtin.files", lambda _: tmp_path)
    with pytest.raises(MissingInputError, match=r"lacks its file nuclei\.onnx"):
        builtin_model("nuclei")
    with pytest.raises(MissingInputError, match=r"lacks its file nuclei\.md"):
        builtin_card("nuclei")
