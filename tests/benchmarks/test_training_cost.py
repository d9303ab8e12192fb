"""What a step costs: cases run apart, and one that fails says why instead of ending the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import training_cost
from benchmarks.training_cost import Case, Cost, cases, cost_table, measure, measure_apart

TINY = {"device": "cpu", "channels": 2, "tile_px": 16, "depth": 1, "is_compiled": False, "is_channels_last": True}


@pytest.mark.parametrize("is_bf16", [False, True])
def test_a_case_is_measured(is_bf16: bool) -> None:
    cost = measure(Case(**TINY, is_bf16=is_bf16), steps=2)
    assert 0 < cost.seconds < cost.first_seconds + 1
    assert cost.peak_bytes > 50e6


def test_a_case_that_fails_says_why() -> None:
    said = measure_apart(Case(**{**TINY, "tile_px": 17}, is_bf16=False), steps=1)
    assert isinstance(said, str)
    assert said.startswith("ended with 1:")
    assert "Error" in said


def test_the_benchmark_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case(**TINY, is_bf16=False)
    monkeypatch.setattr(training_cost, "cases", lambda device: [case] if device == "cpu" else [])
    monkeypatch.setattr("sys.argv", ["x", "--rounds", "1", "--steps", "1", "--output", str(tmp_path)])
    training_cost.main()
    record = json.loads((tmp_path / "training_cost.json").read_text())
    (told,) = record["results"]
    assert told["channels"] == 2
    assert f"| {told['rounds'][0]['seconds']:.3f} |" in capsys.readouterr().out


def test_every_way_of_the_papers_network_is_a_case() -> None:
    paper = [one for one in cases("cpu") if one.channels == 64]
    assert len({(one.is_bf16, one.is_channels_last, one.is_compiled) for one in paper}) == 8
    assert {one.tile_px for one in paper} == {384}
    assert any(one.channels != 64 for one in cases("cpu"))


def test_the_table_tells_medians_or_the_failure() -> None:
    case, other = (Case(**TINY, is_bf16=bf16) for bf16 in (False, True))
    costs = [Cost(seconds=s, first_seconds=9.0, peak_bytes=10**9) for s in (3.0, 1.0, 2.0)]
    lines = cost_table([(case, costs), (other, [costs[0], "ended with 1: no compiler"])]).splitlines()
    assert "| fp32 | channels last | eager | 2.000 | 9.0 | 1,000 |" in lines[2]
    assert "| bf16 | channels last | eager | ended with 1: no compiler |" in lines[3]
