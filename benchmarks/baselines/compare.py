"""What the U-Net paper beat: `python -m benchmarks.baselines.compare FOLDER [--minutes M] [--unet CHECKPOINT]...`.

On the ISBI 2012 membranes (trained on slices 0-14, all chosen on 15-17, scored once on 18-23), a sliding-window patch
classifier and FCN-8s are trained for M minutes each. Without M it is as long as the first U-Net was. U-Nets are
checkpoints or run folders of `unetctl train` on the same slices. All are scored alike, and timed alike in one process,
in fp32, with the threads of `OMP_NUM_THREADS`. FOLDER then holds the table as JSON, a picture, and the weights, which
a second call takes as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.baselines import fcn8s, patch_classifier
from benchmarks.baselines.measured import ROUNDS, Contender, costs_of, errors_of, unet_of
from benchmarks.baselines.recipe import Baseline
from benchmarks.baselines.results import Row, draw, plain, table
from benchmarks.baselines.training import Trained, build, save, saved, steps_within, train
from benchmarks.membrane_data import CLASSES, TEST, breach, membrane_sections, read_slices
from benchmarks.membrane_scores import PROTOCOL
from benchmarks.project_runs import make_project, merged
from benchmarks.record import write_record
from benchmarks.whole_image import load_placed
from tests.data import shared_data
from unetctl.runtime.errors import UnetctlError
from unetctl.trainer.config import Config, load_config
from unetctl.trainer.dataset import Dataset, Pair, load_dataset
from unetctl.trainer.machine import Machine, choose_machine

BASELINES = (patch_classifier.BASELINE, fcn8s.BASELINE)
MINUTES = 10.0
"""Of training each, where neither an option nor a U-Net says how long."""


def trained(
    baseline: Baseline, path: Path, dataset: Dataset, config: Config, machine: Machine, *, minutes: float, steps: int
) -> Trained:
    """Train a baseline for `steps`, or for `minutes` where that is 0; what `path` holds is taken as it is."""
    if path.exists():
        found = saved(path, baseline, dataset, config.train.seed)
        print(f"{baseline.name}: from {path}", flush=True)
    else:
        network = build(baseline, dataset, config.train.seed)
        steps = steps or steps_within(60 * minutes, baseline, network, dataset, config, machine)
        print(f"{baseline.name}: {steps} steps", flush=True)
        with_steps = replace(config, train=replace(config.train, steps=steps))
        found = train(baseline, network, dataset, with_steps, machine)
        save(path, found, dataset)
    print(f"{baseline.name}: {found.steps} steps in {found.seconds / 60:.1f} min, loss {found.loss:.4f}", flush=True)
    return replace(found, network=machine.place(found.network))


def compare(
    config: Config,
    dataset: Dataset,
    test: Sequence[Pair],
    unets: Sequence[Path],
    *,
    minutes: float | None = None,
    steps: Sequence[int] = (0, 0),
) -> list[Row]:
    """Train, score and time everything; print the table, and write it with the picture to the project's folder."""
    machine = choose_machine(config.train.precision)
    contenders = [unet_of(path) for path in unets]
    if minutes is None:
        minutes = contenders[0].trained.seconds / 60 if contenders else MINUTES
    for baseline, count in zip(BASELINES, steps, strict=True):
        path = config.folder / f"{baseline.name.replace(' ', '-').lower()}.safetensors"
        found = trained(baseline, path, dataset, config, machine, minutes=minutes, steps=count)
        one = Contender(name=baseline.name, trained=found, predict=baseline.predict, ways=baseline.ways)
        contenders.append(one)
    scores = {}
    for one in contenders:
        print(f"{one.name}: scoring", flush=True)
        scores[one.name] = errors_of(one, dataset.validation, test)
    print(f"timing by turns, {ROUNDS} rounds", flush=True)
    costs = costs_of(contenders, dataset.validation[0])
    rows = [
        Row(
            network=one.name,
            way=way,
            parameters=one.trained.parameters,
            steps=one.trained.steps,
            minutes=one.trained.seconds / 60,
            scores=scores[one.name],
            cost=costs[one.name, way],
        )
        for one in contenders
        for way in one.ways
    ]
    threads = torch.get_num_threads()
    height, width = dataset.validation[0].labels.shape
    settings = {**PROTOCOL, "threads": threads, "timed_image_yx": [height, width], "rounds": ROUNDS}
    figures, picture = config.folder / "comparison.json", config.folder / "comparison.png"
    write_record(figures, results=plain(rows), settings=settings, seeds=[config.train.seed], commands=[])
    draw(rows, picture, f"fp32 on {machine.name}, threads: {threads}; {height} x {width} px")
    print(f"\n{table(rows)}\n\n{figures}\n{picture}")
    return rows


def main() -> None:
    """Make the project, and run the comparison of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines.compare", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, help="of training each baseline; default: as the first U-Net")
    parser.add_argument("--steps", type=int, nargs=2, default=(0, 0), help="of the patch classifier and of FCN-8s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unet", type=Path, action="append", default=[], help="may be repeated")
    options = parser.parse_args()
    data = shared_data()
    if data is None:
        sys.exit("NOT RUN: the data are missing; set UNETCTL_DATA to the folder that holds isbi2012-em")
    try:
        for path in options.unet:
            if reason := breach(load_placed(path).spec):
                sys.exit(f"{path} cannot be compared: {reason}")
        make_project(options.folder, merged(membrane_sections(data), {"train": {"seed": options.seed}}), CLASSES)
        config = load_config(options.folder / "unetctl.toml")
        dataset = load_dataset(config)
        like = dataset.validation[0]
        test = [
            replace(like, name=str(number), image=image[None], labels=truth.astype(like.labels.dtype))
            for number, image, truth in zip(TEST, *read_slices(data, TEST), strict=True)
        ]
        compare(config, dataset, test, options.unet, minutes=options.minutes, steps=options.steps)
    except UnetctlError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
