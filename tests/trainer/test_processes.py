"""Several processes, started as a user starts them, on the CPU over gloo."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.project import make_project
from unetctl.trainer.dataset import load_dataset
from unetctl.trainer.loader import Loader
from unetctl.trainer.processes import ALONE, Processes
from unetctl.trainer.train import train

SETTINGS = '[data]\nvalidation = ["0-2"]\ntest = ["3"]\n'


def torchrun(folder: Path, *arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [*launcher, "--no-python", "--", str(Path(sys.executable).with_name("unetctl")), "train", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)


def losses_of(run: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((run / "history.csv").read_text().splitlines())]


def test_two_processes_have_the_losses_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    config = make_project(tmp_path, pairs=8, toml=SETTINGS)
    result = torchrun(tmp_path, "--run", "two")
    assert result.returncode == 0, result.stderr
    two = tmp_path / "runs" / "two"
    one = train(replace(config, train=replace(config.train, batch=2)), run="one")
    other = train(config, run="half")

    assert losses_of(two) == pytest.approx(losses_of(one.folder), rel=2e-3)  # bf16, summed in another order
    assert losses_of(two) != pytest.approx(losses_of(other.folder), rel=2e-2)
    scores = json.loads((two / "metrics.json").read_text())
    assert scores["processes"] == 2
    assert scores["test"]["mean_dice"] == pytest.approx(one.test["mean_dice"], abs=0.02) if one.test else False
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.folder.iterdir())
    assert result.stdout.count("model.safetensors") == 1  # only the first process speaks


def test_processes_share_the_samples_of_a_step_without_gap_or_repeat(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    dataset = load_dataset(config)
    config = replace(config, train=replace(config.train, batch=3))
    loaders = [Loader(dataset, config, Processes(rank=rank, count=2)) for rank in range(2)]
    numbers = [number for step in (1, 2) for loader in loaders for number in loader.numbers(step)]
    assert numbers == list(range(1, 13))
    assert list(Loader(dataset, config).numbers(2)) == [4, 5, 6]


def test_alone_there_is_nobody_to_ask() -> None:
    assert ALONE.is_first
    assert ALONE.shared("a") == "a"
    assert ALONE.gathered([1, 2]) == [1, 2]
    assert ALONE.mean(0.5) == 0.5
