"""What the runtime makes of a model that averages: its record, its work, and the time that it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.fakes import fake_choice, fake_model
from unetctl.runtime.cost import layers, multiply_adds
from unetctl.runtime.errors import DataError
from unetctl.runtime.expected import multiply_adds_per_second
from unetctl.runtime.geometry import input_px
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.planned import plan_file
from unetctl.runtime.run import Resources
from unetctl.runtime.segmentation import segment_file
from unetctl.runtime.spec import ExportRecord

PLAIN = fake_model(depth=2)
AVERAGED = replace(PLAIN, record=replace(PLAIN.record, averaging=8))
RESOURCES = Resources(max_memory_bytes=1 << 30, threads=1)


def written(**changes: object) -> str:
    """Return the JSON of a record with these fields changed; None leaves one out."""
    values = json.loads(AVERAGED.record.to_json()) | changes
    return json.dumps({key: value for key, value in values.items() if value is not None})


def test_a_record_is_read_as_it_was_written() -> None:
    assert ExportRecord.from_json(AVERAGED.record.to_json(), source="here") == AVERAGED.record


def test_a_record_from_before_there_was_averaging_does_not_average() -> None:
    assert ExportRecord.from_json(written(averaging=None), source="here") == PLAIN.record


@pytest.mark.parametrize("value", [0, -1, 9, 10**12, 8.0, "8", True, [8]])
def test_a_record_with_another_number_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="malformed"):
        ExportRecord.from_json(written(averaging=value), source="here")


def test_the_other_fields_may_not_be_left_out() -> None:
    with pytest.raises(DataError, match="lacks precision"):
        ExportRecord.from_json(written(precision=None), source="here")


def test_the_plan_counts_every_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((700, 300), np.uint8))
    plain, averaged = (
        plan_file(path, model=one, engine=fake_choice(), resources=RESOURCES) for one in (PLAIN, AVERAGED)
    )
    assert averaged.multiply_adds == 8 * plain.multiply_adds
    assert averaged.waste == plain.waste


def test_the_speed_is_that_of_the_network_whatever_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile that takes eight times as long shows the same speed, so that a plan takes eight times as long."""
    side = input_px(16, 2)
    ones = np.ones(1, np.float32)
    tile = GoldenTile(image=np.zeros((1, side, side), np.uint8), shift=ones, scale=ones, logits=ones.reshape(1, 1, 1))
    seconds = {1: 1.0, 8: 8.0}
    found = []
    for model in (PLAIN, AVERAGED):
        ticks = iter(np.cumsum([0.0, seconds[model.record.averaging]] * 3))
        monkeypatch.setattr("unetctl.runtime.expected.time.perf_counter", lambda ticks=ticks: next(ticks))
        found.append(multiply_adds_per_second(replace(model, golden=(tile,)), fake_choice(), threads=1))
    assert found[0] == found[1] > 0


def test_an_engine_of_fixed_tiles_computes_a_whole_one_for_a_golden_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    side, whole = input_px(16, 2), input_px(64, 2)
    ones = np.ones(1, np.float32)
    tile = GoldenTile(image=np.zeros((1, side, side), np.uint8), shift=ones, scale=ones, logits=ones.reshape(1, 1, 1))
    model = replace(PLAIN, golden=(tile,))
    speeds = []
    for shapes in ((), ((side, side),), ((side - 4, whole), (whole, whole))):
        monkeypatch.setattr("unetctl.runtime.expected.time.perf_counter", iter(range(6)).__next__)
        choice = replace(fake_choice(), fixed_shapes=lambda _, shapes=shapes: shapes)
        speeds.append(multiply_adds_per_second(model, choice, threads=1))
    network = layers(PLAIN.spec.depth, PLAIN.spec.base_channels, 1, len(PLAIN.spec.classes))
    assert speeds[0] == speeds[1] == multiply_adds([side], [side], network)
    assert speeds[2] == multiply_adds([whole], [whole], network)


def test_the_result_says_that_it_is_a_mean(tmp_path: Path) -> None:
    path, output = tmp_path / "a.tif", tmp_path / "a.labels.ome.tif"
    tifffile.imwrite(path, np.zeros((30, 30), np.uint8))
    segment_file(path, output=output, model=AVERAGED, engine=fake_choice(), resources=RESOURCES, preview=False)
    with tifffile.TiffFile(output) as opened:
        assert '"averaging": 8' in str(opened.ome_metadata).replace("&quot;", '"')
