"""`python -m benchmarks.gpu`: rehearsed whole on the processor, without PyTorch, and its parts one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import exactness as exactness_part
from benchmarks.gpu import networks as networks_part
from benchmarks.gpu.engines import Found, find_engines
from benchmarks.gpu.exactness import INTEGERS, exactness_measurements
from benchmarks.gpu.integers import KINDS, integer_case
from benchmarks.gpu.report import is_wrong
from benchmarks.gpu.rows import Clock, Row, measured
from benchmarks.gpu.settings import Settings, rehearsal
from benchmarks.gpu.speed import BARE, LIBRARY, speed_measurements
from benchmarks.gpu.tables import ROADS, of_bare
from unetctl.runtime.engine import Result
from unetctl.runtime.engines import engine_status

ROOT = Path(__file__).resolve().parents[2]
BLOCK = "import os, sys\nsys.modules.update(dict.fromkeys(os.environ['BLOCKED'].split(',')))\n"


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The whole command on a machine that has ONNX Runtime, and neither PyTorch nor what exports models."""
    if not next(one for one in engine_status() if one.name == "onnxruntime").usable:
        pytest.skip("NOT RUN: onnxruntime cannot run here")
    folder = tmp_path_factory.mktemp("gpu")
    folder.joinpath("sitecustomize.py").write_text(BLOCK)
    blocked = {"PYTHONPATH": str(folder), "BLOCKED": "torch,safetensors,onnx,onnxscript,pytest"}
    options = [str(folder / "results"), "--rehearse", "--engines", "onnxruntime"]
    command = [sys.executable, "-m", "benchmarks.gpu", *options]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **blocked}, capture_output=True, text=True)
    return ended, folder / "results"


def test_a_rehearsal_writes_one_record_and_one_page(
    rehearsed: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    ended, folder = rehearsed
    assert ended.returncode == 0, ended.stderr
    assert {one.name for one in folder.iterdir()} == {"gpu-rehearsal.json", "gpu-rehearsal.md"}
    record = json.loads((folder / "gpu-rehearsal.json").read_text())
    assert {"date", "commit", "machine", "libraries", "settings", "rows", "seconds"} <= record.keys()
    measured_names = {row["name"] for row in record["rows"] if "mpx_per_second" in row}
    assert {BARE, LIBRARY, *ROADS} == measured_names
    page = (folder / "gpu-rehearsal.md").read_text()
    assert page.strip() in ended.stdout
    assert "nuclei | onnxruntime | fp32" in page


def test_what_a_machine_lacks_is_named_and_the_rest_goes_on(
    rehearsed: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    page = (rehearsed[1] / "gpu-rehearsal.md").read_text()
    assert "- not installed: torch: matrix product fp16; matrix product bf16; matrix product fp32" in page
    assert "- not installed: torch, safetensors, onnx, onnxscript: integer network onnxruntime fp32" in page
    assert "- not installed: pytest, torch, safetensors, onnx, onnxscript: contract tests" in page
    assert "| golden tiles | onnxruntime | fp32 | yes |" in page


def test_a_machine_without_a_gpu_is_told_to_rehearse(tmp_path: Path) -> None:
    tmp_path.joinpath("sitecustomize.py").write_text(BLOCK)
    blocked = {"PYTHONPATH": str(tmp_path), "BLOCKED": "torch,onnxruntime,openvino,cuda"}
    command = [sys.executable, "-m", "benchmarks.gpu", str(tmp_path / "results")]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **blocked}, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "no engine runs on an NVIDIA GPU here" in ended.stderr
    assert "not installed: torch" in ended.stdout


def test_without_unetctl_it_says_how_to_install_it(tmp_path: Path) -> None:
    tmp_path.joinpath("sitecustomize.py").write_text(BLOCK)
    command = [sys.executable, "-m", "benchmarks.gpu", str(tmp_path / "results")]
    blocked = {"PYTHONPATH": str(tmp_path), "BLOCKED": "unetctl"}
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **blocked}, capture_output=True, text=True)
    assert ended.returncode == 69
    assert ended.stderr.startswith("unetctl is not installed: pip install .")


def test_an_engine_that_is_not_known_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--engines", "torch,onnxruntime-gpu"])
    with pytest.raises(SystemExit):
        program.main()
    said = capsys.readouterr().err
    assert "no such engine: onnxruntime-gpu; there are torch, tensorrt, onnxruntime-cuda" in said


@pytest.mark.parametrize("missing", ["torch", "onnxscript"])
def test_the_built_in_model_is_measured_in_fp32_where_none_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(networks_part, "lacking", lambda needs: [missing] if missing in needs else [])
    settings = replace(rehearsal(str(tmp_path), ()), graphs=("fp16", "fp32"))
    found = Found(engine="onnxruntime", version="1", device="CPU", hints=(), graphs=settings.graphs)
    measurements = [
        *exactness_measurements(settings, [found]),
        *(one for which in ("first", "rest") for one in speed_measurements(settings, found, which)),
    ]
    facts = [one.facts for one in measurements]
    assert {one["precision"] for one in facts} == {"fp32"}
    assert {one["network"] for one in facts if "network" in one} == {"nuclei"}
    if missing == "onnxscript":
        assert networks_part.networks(settings, "torch")[0].base_channels, "PyTorch needs no ONNX model"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return rehearsal(str(tmp_path), ("torch",))


@pytest.mark.parametrize("precision", KINDS)
def test_integer_networks_are_exact_in_their_precision_and_see_a_misplaced_tile(precision: str, tmp_path: Path) -> None:
    case = integer_case(precision, (203, 330), tmp_path)
    assert case.can_tell, (case.largest_sum, case.limit, case.disturbed)
    assert len(np.unique(case.labels_yx)) > 1
    if precision == "fp32":
        assert case.largest_sum > 2**11, "or tf32 would go unnoticed"


def exactness(settings: Settings) -> list[Row]:
    found, _ = find_engines(settings)
    return list(measured(exactness_measurements(settings, found), Clock(300)))


def test_pytorch_is_right_on_integers_and_golden_tiles(settings: Settings) -> None:
    rows = exactness(settings)
    assert rows
    for row in rows:
        assert row.get("passed"), row


def test_an_engine_that_gets_one_label_wrong_is_caught(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = exactness_part._choice_for

    class OneWrong:
        def __init__(self, engine: Any) -> None:
            self.engine, self.slots = engine, engine.slots
            self.buffer, self.submit = engine.buffer, engine.submit

        def __enter__(self) -> OneWrong:
            self.engine.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self.engine.__exit__(*error)

        def result(self, slot: int) -> Result:
            labels = self.engine.result(slot).labels.copy()
            labels[0, 9, 9] = (labels[0, 9, 9] + 1) % 3
            return Result(labels=labels, probabilities=None)

    def wrong(*arguments: Any) -> Any:
        choice, model = opened(*arguments)
        return replace(choice, open=lambda request: OneWrong(choice.open(request))), model

    monkeypatch.setattr(exactness_part, "_choice_for", wrong)
    row = next(row for row in exactness(settings) if row["name"] == INTEGERS)
    assert row["wrong"] >= 1
    assert is_wrong(row)


def test_pytorch_is_measured_bare_and_from_file_to_file_on_the_same_tiles(settings: Settings) -> None:
    (torch_engine,), _ = find_engines(settings)
    torch_engine = replace(torch_engine, hints=())
    rows = list(measured(speed_measurements(settings, torch_engine, "first"), Clock(300)))
    assert not [row for row in rows if "failed" in row or "left_out" in row]
    runs = [row for row in rows if row["name"] in ROADS]
    assert [row["name"] for row in runs] == list(ROADS)
    for row in runs:
        assert (of_bare(row, rows) or 0) > 0
        assert 0 < row["network_share"] <= 1
        assert {stage["stage"] for stage in row["stages"]} == {"read", "network", "write", "finish"}
