"""Training, from the project's toml to a run folder with a model in it.

every step       sample -> network -> weighted cross-entropy -> gradient -> optimizer
now and then     validate on whole images, keep the best weights, draw, save what --resume needs
at the end       score the best weights in fp32, once on the test images, and publish model.safetensors
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

import torch

from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.system import write_atomically
from unetctl.trainer.checkpoint import load_checkpoint, save_checkpoint
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset, load_dataset
from unetctl.trainer.describe import make_spec, training_record
from unetctl.trainer.golden_tiles import choose_golden
from unetctl.trainer.history import History
from unetctl.trainer.loader import Loader
from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.machine import Machine, choose_machine
from unetctl.trainer.measures import dice
from unetctl.trainer.network import UNet
from unetctl.trainer.optimise import make_optimizer, rate_at
from unetctl.trainer.outcome import Progress, TrainResult
from unetctl.trainer.pictures import draw_losses, draw_predictions
from unetctl.trainer.resume import TrainingState, load_state, save_state
from unetctl.trainer.runs import RunFolder, choose_run, opened
from unetctl.trainer.sample import Sample
from unetctl.trainer.streams import stream_seed
from unetctl.trainer.validate import judge

EXPLODED = 1000.0
"""A loss above it, for every unit of the largest weight, is no loss any more: chance is below 6 for any 255 classes."""


def train(
    config: Config,
    *,
    run: str | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train a network, or continue a run that was stopped, exactly as if it had not been.

    `run` names the run (default: the time; with `resume`: the newest unfinished run). `on_notice` is told, before the
    first step, what was concluded from the data. Raises `UnetctlError`; what the last validation saved stays.
    """
    folder = choose_run(config, run, resume=resume)
    dataset = load_dataset(config)
    for notice in dataset.notices:
        if on_notice is not None:
            on_notice(notice)
    machine = choose_machine(config.train.precision)
    devices = range(torch.cuda.device_count())
    with opened(folder, config), torch.random.fork_rng(devices=devices):  # the caller's random numbers stay its own
        state = _run_steps(config, dataset, machine, folder, resume=resume, on_progress=on_progress)
        return _finish(config, dataset, machine, folder, state)


def _run_steps(
    config: Config,
    dataset: Dataset,
    machine: Machine,
    folder: RunFolder,
    *,
    resume: bool,
    on_progress: Callable[[Progress], None] | None,
) -> TrainingState:
    """Take all steps that are left, with validations in between."""
    settings = config.train
    torch.manual_seed(stream_seed(settings.seed, "weights"))
    network = machine.place(_new_network(config, dataset))
    optimizer = make_optimizer(network, settings)
    loader = Loader(dataset, config)
    limit = EXPLODED * (float(loader.class_weights.max()) + settings.border_weight)
    state = TrainingState()
    history = History(class_names=tuple(one.name for one in dataset.classes.classes))
    if resume:
        state = load_state(folder.resume, network, optimizer, config, dataset.fingerprint)
        history.read(folder.history, state.step)
    first, before, started = state.step + 1, state.seconds, time.perf_counter()
    validation = state.best_score if state.best_step else None

    for step, sample in enumerate(loader.samples_from(first, settings.steps), start=first):
        rate = rate_at(step, settings)
        torch.manual_seed(stream_seed(settings.seed, "dropout", step))
        loss = _step(network, optimizer, machine.place_sample(sample), rate, machine)
        if not loss < limit:
            _stop(loss, step, config, folder)
        state.step, state.seconds = step, before + time.perf_counter() - started
        history.losses.append((step, loss, rate))
        if step % settings.validate_every == 0 or step == settings.steps:
            validation = _validate(config, dataset, machine, folder, network, loader.class_weights, state, history)
            state.seconds = before + time.perf_counter() - started
            save_state(folder.resume, state, network, optimizer, config, dataset.fingerprint)
        if on_progress is not None:
            speed = (step - first + 1) / (time.perf_counter() - started)
            on_progress(
                Progress(
                    step=step,
                    steps=settings.steps,
                    loss=loss,
                    learning_rate=rate,
                    validation=validation,
                    seconds=state.seconds,
                    seconds_left=(settings.steps - step) / speed,
                    steps_per_second=speed,
                    samples_per_second=loader.samples / loader.seconds,
                )
            )
    return state


def _step(network: UNet, optimizer: torch.optim.Optimizer, sample: Sample, rate: float, machine: Machine) -> float:
    """Take one step and return its loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    with machine.autocast():
        logits = network(sample.image)
    loss = weighted_cross_entropy(logits, sample.labels, sample.weights)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _validate(
    config: Config,
    dataset: Dataset,
    machine: Machine,
    folder: RunFolder,
    network: UNet,
    class_weights: torch.Tensor,
    state: TrainingState,
    history: History,
) -> float:
    """Judge the network as it is, keep it if it is the best so far, and draw. Returns its mean Dice."""
    scores, predictions = judge(network, dataset.validation, class_weights, machine)
    if not math.isfinite(scores.loss):
        _stop(scores.loss, state.step, config, folder)
    if scores.mean_dice > state.best_score:
        state.best_step, state.best_score = state.step, scores.mean_dice
        training = training_record(config, dataset, machine, folder.name)
        training |= {"complete": False, "steps": state.step}
        save_checkpoint(folder.checkpoint, network, make_spec(config, dataset, network, training), ())
    by_class = dice(scores.matrix).tolist()
    history.scores[state.step] = (scores.loss, scores.mean_dice, scores.pixel_error, *by_class)
    classes = dataset.classes.classes
    history.write(folder.history)
    draw_losses(folder.path / "losses.png", history, classes, state.best_step)
    title = f"{config.name}, run {folder.name}, step {state.step}: mean Dice {scores.mean_dice:.3f} on validation"
    draw_predictions(folder.prediction(state.step), dataset.validation, predictions, classes, title)
    return scores.mean_dice


def _finish(config: Config, dataset: Dataset, machine: Machine, folder: RunFolder, state: TrainingState) -> TrainResult:
    """Score the best weights in fp32, publish them with golden tiles, and remove what only a running run needs."""
    best = load_checkpoint(folder.checkpoint)
    golden = choose_golden(best.network, dataset.validation)
    exact = Machine(device=machine.device, is_bf16=False, name=machine.name)
    network = exact.place(_new_network(config, dataset))
    network.load_state_dict(best.network.state_dict())
    class_weights = Loader(dataset, config).class_weights
    classes = dataset.classes.classes
    validation = judge(network, dataset.validation, class_weights, exact)[0].to_dict(classes)
    test = judge(network, dataset.test, class_weights, exact)[0].to_dict(classes) if dataset.test else None

    training = training_record(config, dataset, machine, folder.name)
    training |= {
        "complete": True,
        "steps": state.step,
        "best_step": state.best_step,
        "seconds": round(state.seconds, 1),
    }
    scores = {"validation": validation, "test": test}
    spec = make_spec(config, dataset, best.network, {**training, "scores": scores})
    metrics = {"name": config.name, "created": spec.created, **scores, **training, "notices": dataset.notices}
    write_atomically(folder.path / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    save_checkpoint(folder.model, best.network, spec, golden)
    folder.checkpoint.unlink()
    folder.resume.unlink()
    return TrainResult(
        run=folder.name,
        folder=folder.path,
        model=folder.model,
        steps=state.step,
        best_step=state.best_step,
        seconds=state.seconds,
        validation=validation,
        test=test,
        notices=dataset.notices,
    )


def _new_network(config: Config, dataset: Dataset) -> UNet:
    settings = config.network
    return UNet(
        channels=len(dataset.channel_names),
        classes=len(dataset.classes.classes),
        depth=settings.depth,
        base_channels=settings.base_channels,
        dropout=settings.dropout,
    )


def _stop(loss: float, step: int, config: Config, folder: RunFolder) -> None:
    raise CheckFailedError(
        f"training diverged: the loss is {loss:g} at step {step}",
        cause=f"the learning rate of {config.train.peak_rate:g} is too high for {config.train.optimizer}",
        saved=f"the best weights so far are in {folder.checkpoint}" if folder.checkpoint.exists() else "",
        hint=f"train anew with learning_rate = {config.train.peak_rate / 4:g} under [train]",
    )
