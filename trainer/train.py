"""Training, from the project's toml to a run folder with a model in it.

every step       samples -> network -> weighted cross-entropy -> gradient -> optimizer -> averaged weights
now and then     validate on whole images, keep the best weights, draw, save what --resume needs
at the end       score the best weights in fp32, once on the test images, and publish model.safetensors
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from unetctl.runtime.errors import CheckFailedError
from unetctl.trainer.config import Config
from unetctl.trainer.course import Course, begin
from unetctl.trainer.dataset import load_dataset
from unetctl.trainer.events import Events
from unetctl.trainer.job import Job
from unetctl.trainer.machine import choose_machine
from unetctl.trainer.optimise import rate_at
from unetctl.trainer.outcome import Progress, TrainResult
from unetctl.trainer.processes import joined
from unetctl.trainer.record import keep_best, progress, publish, record_validation
from unetctl.trainer.resume import save_state
from unetctl.trainer.runs import choose_run, opened
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
    first step, what was concluded from the data. Where `torchrun` started several processes, each calls this, and the
    first writes and reports. Raises `UnetctlError`; what the last validation saved stays.
    """
    with joined() as processes:
        folder = processes.shared(choose_run(config, run, resume=resume) if processes.is_first else None)
        assert folder is not None, "the first process chose it"
        dataset = load_dataset(config)
        for notice in dataset.notices if processes.is_first else ():
            if on_notice is not None:
                on_notice(notice)
        machine = choose_machine(config.train.precision)
        job = Job(config=config, dataset=dataset, machine=machine, processes=processes, folder=folder)
        held = opened(folder, config) if processes.is_first else nullcontext()
        devices = range(torch.cuda.device_count())
        with held, torch.random.fork_rng(devices=devices):  # the caller's random numbers stay its own
            course = begin(job, resume=resume)
            with Events(folder.events, course.state.step + 1) if processes.is_first else nullcontext() as events:
                course.events = events
                _take_steps(course, on_progress if processes.is_first else None)
            return publish(course)


def _take_steps(course: Course, on_progress: Callable[[Progress], None] | None) -> None:
    """Take all steps that are left, with validations in between."""
    job, state, settings = course.job, course.state, course.job.config.train
    limit = EXPLODED * (float(course.loader.class_weights.max()) + job.config.border_weight)
    first, before, started = state.step + 1, state.seconds, time.perf_counter()

    for step, samples in enumerate(course.loader.samples_from(first, settings.steps), start=first):
        if 0 < settings.patience <= state.validations_since_best:
            break
        loss, rate = course.stepper.take(step, samples, course.loader.numbers(step)), rate_at(step, settings)
        if not loss < limit:
            _stop(loss, step, job)
        state.step, state.seconds = step, before + time.perf_counter() - started
        course.history.losses.append((step, loss, rate))
        if course.events:
            course.events.step(step, loss, rate)
        if step % job.validation_interval == 0 or step == settings.steps:
            _validate(course)
            state.seconds = before + time.perf_counter() - started
            if job.processes.is_first:
                save_state(job, course.stepper, state)
        if on_progress is not None:
            elapsed = time.perf_counter() - started
            on_progress(progress(course, seconds_left=(settings.steps - step) * elapsed / (step - first + 1)))


def _validate(course: Course) -> None:
    """Judge the averaged weights, keep them if they are the best so far, and draw."""
    job, state, network = course.job, course.state, course.stepper.average.network
    weights = course.loader.class_weights
    scores, predictions = judge(network, job.dataset.validation, weights, job.machine, job.processes)
    if not math.isfinite(scores.loss):
        _stop(scores.loss, state.step, job)
    state.validations_since_best += 1
    if scores.mean_dice > state.best_score:
        state.best_step, state.best_score, state.validations_since_best = state.step, scores.mean_dice, 0
        if job.processes.is_first:
            keep_best(job, network, state.step)
    if job.processes.is_first:
        record_validation(course, scores, predictions)


def _stop(loss: float, step: int, job: Job) -> None:
    settings, checkpoint = job.config.train, job.folder.checkpoint
    remedies = [f"learning_rate = {settings.peak_rate / 4:g}", *["clip_norm = 1.0"][: not settings.clip_norm]]
    raise CheckFailedError(
        f"training diverged: the loss is {loss:g} at step {step}",
        cause=f"the learning rate of {settings.peak_rate:g} is too high for {settings.optimizer}",
        saved=f"the best weights so far are in {checkpoint}" if checkpoint.exists() else "",
        hint=f"train anew with {' and '.join(remedies)} under [train]",
    )
