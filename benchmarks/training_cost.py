"""What a training step costs: `python -m benchmarks.training_cost`, seconds and memory of the network at its tiles.

The paper's network reads 572 px and has 64 channels; the default preset is narrower and reads less. Each is measured in
fp32 and bf16, channels-last or not, eager and compiled, on the processor and on a GPU if torch sees one. A step is what
training does with one sample: forward, weighted cross-entropy, backward, AdamW.

Each case runs in a process of its own, by turns and several rounds, because machines are shared and warm up. Told are
the medians over the rounds, of each round's median over its steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import table, where, write_record
from unetctl.runtime.geometry import input_px
from unetctl.runtime.system import peak_memory_bytes
from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.network import UNet
from unetctl.trainer.settings import NetworkConfig, TrainConfig

PAPER_CHANNELS, PAPER_TILE_PX = 64, 384
DEFAULT_TILE_PX = 256
"""Where the default is whole images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to take steps."""

    device: str
    channels: int
    tile_px: int
    """Kept pixels a side; the network reads `input_px` of it."""
    is_bf16: bool
    is_channels_last: bool
    is_compiled: bool
    depth: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a step of a case cost in one process."""

    seconds: float
    """Median of the steps after the first."""
    first_seconds: float
    """The first step, with all that is prepared or compiled in it."""
    peak_bytes: int
    """Of the process, libraries and all (on a processor), or of torch's allocations (on a GPU)."""


def cases(device: str) -> list[Case]:
    """Return the cases of a device: every way of the paper's network; the default's in the layout of training."""
    tile = TrainConfig().tile
    default = NetworkConfig().base_channels, tile if isinstance(tile, int) else DEFAULT_TILE_PX
    return [
        Case(device=device, channels=channels, tile_px=px, is_bf16=bf16, is_channels_last=last, is_compiled=compiled)
        for channels, px in ((PAPER_CHANNELS, PAPER_TILE_PX), default)
        for bf16, last, compiled in product((False, True), (False, True), (False, True))
        if channels == PAPER_CHANNELS or last
    ]


def measure(case: Case, steps: int) -> Cost:
    """Take steps of a case in this process."""
    torch.manual_seed(0)
    layout = torch.channels_last if case.is_channels_last else torch.contiguous_format
    network = UNet(channels=1, classes=2, depth=case.depth, base_channels=case.channels)
    network = network.to(case.device, memory_format=layout)  # type: ignore[call-overload]
    side = input_px(case.tile_px, case.depth)
    image = torch.randn(1, 1, side, side).to(case.device, memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    forward = torch.compile(network) if case.is_compiled else network
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        with torch.autocast(case.device, dtype=torch.bfloat16, enabled=case.is_bf16):
            logits: Tensor = forward(image)
        shape = (1, *logits.shape[2:])
        labels = torch.zeros(shape, dtype=torch.long, device=case.device)
        loss = weighted_cross_entropy(logits, labels, torch.ones(shape, device=case.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # waits for the GPU
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() if case.device == "cuda" else peak_memory_bytes()
    return Cost(seconds=statistics.median(times[1:]), first_seconds=times[0], peak_bytes=peak)


def measure_apart(case: Case, steps: int) -> Cost | str:
    """Measure a case in a process of its own; what it says if it fails, as too little memory or no compiler."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training_cost",
        "--case",
        json.dumps(asdict(case)),
        "--steps",
        str(steps),
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        return f"ended with {ended.returncode}: {said[-1] if said else 'it said nothing'}"
    return Cost(**json.loads(ended.stdout.splitlines()[-1]))


def cost_table(found: Sequence[tuple[Case, Sequence[Cost | str]]]) -> str:
    """Return the Markdown table: medians over the rounds; of a case that failed, why."""
    header = ["device", "channels", "reads, px", "precision", "layout", "", "s a step", "first step, s", "peak, MB"]
    rows = []
    for case, rounds in found:
        ways = [
            "bf16" if case.is_bf16 else "fp32",
            "channels last" if case.is_channels_last else "channels first",
            "compiled" if case.is_compiled else "eager",
        ]
        costs = [one for one in rounds if isinstance(one, Cost)]
        cells = [next((one for one in rounds if isinstance(one, str)), ""), "", ""]
        if len(costs) == len(rounds):
            cells = [
                f"{statistics.median(one.seconds for one in costs):.3f}",
                f"{statistics.median(one.first_seconds for one in costs):.1f}",
                f"{statistics.median(one.peak_bytes for one in costs) / 1e6:,.0f}",
            ]
        side = str(input_px(case.tile_px, case.depth))
        rows.append([case.device, str(case.channels), side, *ways, *cells])
    return table(header, rows)


def main() -> None:
    """Measure every case in turn, round after round, and print the table; with --case, one case in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_cost", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--steps", type=int, default=3, metavar="N", help="timed steps of each round, after a first")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where training_cost.json goes; default: nowhere")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(asdict(measure(Case(**json.loads(arguments.case)), arguments.steps))))
        return
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rounds: dict[Case, list[Cost | str]] = {case: [] for device in devices for case in cases(device)}
    for number in range(1, arguments.rounds + 1):
        for case, costs in rounds.items():
            costs.append(measure_apart(case, arguments.steps))
            print(f"# round {number} of {arguments.rounds}: {case} {costs[-1]}", file=sys.stderr, flush=True)
            if arguments.output is not None:
                write_record(
                    arguments.output / "training_cost.json",
                    results=[
                        {**asdict(one), "rounds": [_plain(cost) for cost in told]} for one, told in rounds.items()
                    ],
                    settings={"rounds": arguments.rounds, "steps": arguments.steps, "batch": 1},
                    seeds=[0],
                    commands=[],
                )
    print(f"{where()}; medians of {arguments.rounds} rounds of {arguments.steps} steps, one sample a step\n")
    print(cost_table(list(rounds.items())))


def _plain(cost: Cost | str) -> dict[str, Any] | str:
    return asdict(cost) if isinstance(cost, Cost) else cost


if __name__ == "__main__":
    main()
