"""What `benchmarks.gpu` is made of: time, processes, rows, tables, and what it asks of the machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import contract as contract_part
from benchmarks.gpu import machine as machine_part
from benchmarks.gpu.contract import contract_files, contract_row, outcomes
from benchmarks.gpu.memory import DeviceMemory
from benchmarks.gpu.process import run_within
from benchmarks.gpu.report import report_text, without_own_folders
from benchmarks.gpu.rows import TIME_IS_UP, Clock, Facts, Measurement, Row, append_row, measured, read_rows
from benchmarks.gpu.settings import Settings, rehearsal
from benchmarks.gpu.tables import aim_lines, file_table, peak_table, right_table, speed_table
from unetctl.runtime.errors import ResourceError

PEAK = {"name": "matrix product", "precision": "bf16", "tflops": 800.0, "side": 8192}
CASE = {"engine": "torch", "precision": "bf16", "network": "64 channels", "kept_yx": [2048, 2048]}
BARE = {"name": "bare engine", **CASE, "batch": 1, "tflops": 500.0, "mpx_per_second": 320.0, "slots": 3}
STAGES = [
    {"stage": name, "busy": 1.0, "waited_for_input": 0.25, "waited_for_output": 0.5}
    for name in ("read", "network", "write", "finish")
]
RUN = {"name": "TIFF to TIFF", **CASE, "tflops": 400.0, "mpx_per_second": 256.0, "network_share": 0.8, "stages": STAGES}
ROWS: list[Row] = [PEAK, {**BARE, "repeats_seconds": [0.013, 0.0131, 0.0132], "device_bytes": 3 << 30}, RUN]


def test_the_aim_is_in_parts_of_the_measured_peak_and_of_the_bare_engine() -> None:
    lines = aim_lines(ROWS)
    assert lines[0] == "- torch in bf16, 64 channels: 256 Mpx/s, file to file"
    assert lines[1] == "- 50.0% of the 16-bit matrix product (aim 45%, stretch 60%): aim"
    assert lines[2] == "- 0.800 of the bare engine on the same tiles that keep 2048 px (aim 0.9): not reached"
    assert "not measured" in aim_lines([PEAK])[0]


def test_tables_show_speeds_with_their_spread_and_waits() -> None:
    assert "| matrix product, bf16 | 800 TFLOP/s |" in peak_table(ROWS)
    assert "| 2048 | 1 | 320 (317.6-322.5) | 500 | 62.5% | 3.00 |" in speed_table(ROWS)
    assert "| 256 | 400 | 50.0% | 80.0% | 80.0% | 0.25 s | 0.50 s | 0.50 s | 1.00 s |  |" in file_table(ROWS)
    wrong = {"name": "integer network", **CASE, "passed": False, "pixels": 100, "wrong": 3, "disturbed": 0.5}
    assert "| integer network | torch | bf16 | **no** | 100 | 3 labels differ" in right_table(
        [{**wrong, "largest_sum": 9.0, "limit": 256}]
    )


def test_an_error_is_a_row_and_the_next_is_measured() -> None:
    def full() -> Facts:
        raise ResourceError("the GPU has too little memory", cause="5 GiB are needed")

    work = [Measurement(facts={}, work=full), Measurement(facts={}, work=lambda: {"x": 1})]
    large, small = measured(work, Clock(10))
    assert large["failed"] == "out of memory: the GPU has too little memory: 5 GiB are needed"
    assert small["x"] == 1


def test_what_does_not_fit_in_the_time_is_left_out_by_name() -> None:
    work = [Measurement(facts={"name": str(n)}, work=lambda: time.sleep(0.2) or {}) for n in range(4)]
    rows = list(measured(work, Clock(0.5)))
    assert [row.get("left_out") for row in rows] == [None, None, TIME_IS_UP, TIME_IS_UP]


def test_a_long_preparation_says_nothing_of_the_measurements_after_it() -> None:
    long = Measurement(facts={}, work=lambda: time.sleep(0.4) or {}, is_typical=False)
    rows = list(measured([long, Measurement(facts={}, work=dict)], Clock(0.6)))
    assert not [row for row in rows if "left_out" in row]


def test_a_package_that_is_missing_leaves_out_only_what_needs_it() -> None:
    work = [Measurement(facts={"name": "a"}, work=dict, needs=("json", "no_such_package"))]
    (row,) = measured(work, Clock(10))
    assert row["left_out"] == "not installed: no_such_package"


def test_a_part_that_hangs_is_ended_and_its_rows_stay(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    append_row(rows, {"name": "first"})
    script = f"import time; open({str(rows)!r}, 'a').write('{{'); print('hm', flush=True); time.sleep(60)"
    ended = run_within([sys.executable, "-c", script], 1.5, log=tmp_path / "log", folder=tmp_path)
    assert not ended.finished
    assert ended.last_words == "hm"
    assert read_rows(rows) == [{"name": "first"}]


def test_a_part_that_fails_is_a_row_and_parts_without_time_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, found = rehearsal(str(tmp_path), ("tensorrt",)), []
    program.run_part("no such part", settings, 30, found.append)
    assert found[0]["failed"].startswith("ended with 1: ")

    def one_engine(part: str, settings: Settings, seconds: float, on_row: Callable[[Row], None]) -> None:
        on_row({"name": "engine", "engine": "x"})

    monkeypatch.setattr(program, "run_part", one_engine)
    rows: list[Row] = []
    program.measure_all(settings, 0.1, rows.append)
    assert [row["name"] for row in rows[1:]] == ["exactness", "first:x", "contract", "rest:x"]
    assert {row["left_out"] for row in rows[1:]} == {TIME_IS_UP}


def test_settings_travel_as_they_are(tmp_path: Path) -> None:
    for settings in (Settings(rehearse=False, scratch="x", engines=("torch",)), rehearsal("x", ())):
        assert Settings.from_json(settings.to_json()) == settings


LOG = """
tests/a.py::TestTorch::test_one[nan] PASSED                            [ 25%]
tests/a.py::TestTorch::test_two SKIPPED (NOT RUN: no CUDA device)      [ 50%]
tests/a.py::test_three FAILED                                          [ 75%]
tests/a.py::test_four
ERROR tests/b.py - ModuleNotFoundError: No module named 'openvino'
ERROR tests/a.py::test_three - OSError
"""


def test_outcomes_of_tests_are_counted_as_far_as_they_came() -> None:
    found = outcomes(LOG)
    assert found["tests_passed"] == 1
    assert found["tests_failed"] == ["tests/a.py::test_three"]
    not_collected = "tests/b.py - ModuleNotFoundError: No module named 'openvino'"
    assert found["tests_skipped"] == {"NOT RUN: no CUDA device": 1, not_collected: 1}
    assert found["passed"] is False
    assert "no module named" in outcomes("no module named x")["failed"]


def test_contract_tests_run_in_a_process_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tests/trainer/test_engine_torch.py" in contract_files()
    assert not [one for one in contract_files() if "benchmarks" in one]
    monkeypatch.setattr(contract_part, "contract_files", lambda: ["tests/runtime/test_geometry.py"])
    monkeypatch.setattr(contract_part, "lacking", lambda _: [])
    row = contract_row(Settings(rehearse=True, scratch=str(tmp_path), tests="input"), 120)
    assert row["finished"]
    assert row["tests_passed"]


def test_nvidia_smi_is_asked_for_state_and_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = "NVIDIA H200, 580.1, 1980 MHz, 1980 MHz, 3201 MHz, 612.10 W, 700.00 W, 55, 100 %, 900 MiB, 143771 MiB"
    script = tmp_path / "nvidia-smi"
    script.write_text(f'#!/bin/sh\ncase "$1" in *compute-apps*) echo "python3, 512 MiB";; *) echo "{state}";; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = machine_part.machine()
    assert found["gpu"]["gpu"] == "NVIDIA H200"
    assert found["gpu"]["power"] == "612.10 W"
    assert found["other_programs_on_the_gpu"] == ["python3, 512 MiB"]
    monkeypatch.setattr(machine_part, "PERIOD_SECONDS", 0.01)
    with machine_part.StateWatch() as watch:
        time.sleep(0.3)
    assert watch.summary()["sm_clock"] == "1980 MHz to 1980 MHz"


def test_a_gpu_without_nvidia_smi_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine_part.gpu_state() == "nvidia-smi is not here"


def test_the_peak_of_the_gpus_memory_is_what_was_taken_meanwhile() -> None:
    used = chain([100, 150, 700], repeat(200))
    with DeviceMemory(lambda: next(used)) as memory:
        time.sleep(0.2)
    assert memory.peak_bytes == 600


def test_no_folder_of_this_machine_is_in_a_report(tmp_path: Path) -> None:
    settings = rehearsal(str(tmp_path), ())
    assert without_own_folders(f"{tmp_path}/x, {program.ROOT}/y, {Path.home()}/z", settings) == "SCRATCH/x, ./y, ~/z"


def test_a_report_names_what_is_missing_once_for_each_reason(tmp_path: Path) -> None:
    rows: list[Row] = [
        *ROWS,
        {"name": "engine", "engine": "torch", "version": "2", "device": "NVIDIA H200"},
        {"name": "bare engine", **CASE, "batch": 4, "failed": "out of memory: 9 GiB"},
        {"name": "bare engine", **CASE, "batch": 1, "left_out": TIME_IS_UP},
        {"name": "contract", "left_out": TIME_IS_UP},
    ]
    machine = {**machine_part.machine(), "gpu": "nvidia-smi is not here"}
    record = {"date": "2026-01-01", "commit": "abc", "benchmark": "x", "machine": machine, "libraries": {"numpy": "2"}}
    record |= {"settings": Settings(rehearse=False, scratch=str(tmp_path)), "rows": rows}
    text = report_text(record)
    assert text.startswith("# unetctl on NVIDIA H200")
    assert "- failed: out of memory: 9 GiB: bare engine torch bf16 64 channels 2048 batch 4" in text
    assert f"- {TIME_IS_UP}: bare engine torch bf16 64 channels 2048; contract" in text
