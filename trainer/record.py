"""What a run writes into its folder: the course of its losses, the best weights so far, and at the end the model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from unetctl.runtime.system import write_atomically
from unetctl.trainer.checkpoint import load_checkpoint, save_checkpoint
from unetctl.trainer.course import Course
from unetctl.trainer.describe import make_spec, training_record
from unetctl.trainer.golden_tiles import choose_golden
from unetctl.trainer.history import SCORE_COLUMNS, STEP_COLUMNS
from unetctl.trainer.job import Job
from unetctl.trainer.machine import Machine
from unetctl.trainer.measures import dice
from unetctl.trainer.model_card import write_card
from unetctl.trainer.network import UNet
from unetctl.trainer.outcome import Progress, TrainResult
from unetctl.trainer.pictures import draw_losses, draw_predictions
from unetctl.trainer.report_page import write_report
from unetctl.trainer.validate import Prediction, Scores, judge


def keep_best(job: Job, network: UNet, step: int) -> None:
    """Save `network` as the best so far."""
    training = training_record(job.config, job.dataset, job.machine, job.folder.name, job.processes.count)
    training |= {"complete": False, "steps": step}
    save_checkpoint(job.folder.checkpoint, network, make_spec(job.config, job.dataset, network, training), ())


def progress(course: Course, *, seconds_left: float) -> Progress:
    """Say where the run is, after a step."""
    step, loss, rate = course.history.losses[-1]
    validated = course.history.scores
    return Progress(
        step=step,
        steps=course.job.config.train.steps,
        loss=loss,
        learning_rate=rate,
        validation=validated[max(validated)][SCORE_COLUMNS.index("mean_dice")] if validated else None,
        seconds=course.state.seconds,
        seconds_left=seconds_left,
        **(course.speed or {}),
    )


def record_validation(course: Course, scores: Scores, predictions: Sequence[Prediction]) -> None:
    """Add a validation to the history, and draw it."""
    job, history, state = course.job, course.history, course.state
    classes = job.dataset.classes.classes
    by_class = dice(scores.matrix).tolist()
    history.scores[state.step] = (scores.loss, scores.mean_dice, scores.pixel_error, *by_class)
    history.write(job.folder.history)
    draw_losses(job.folder.path / "losses.png", history, classes, state.best_step)
    title = (
        f"{job.config.name}, run {job.folder.name}, step {state.step}: mean Dice {scores.mean_dice:.3f} on validation"
    )
    picture = job.folder.prediction(state.step)
    draw_predictions(picture, job.dataset.validation, predictions, classes, title)
    if course.events:
        names = history.columns[len(STEP_COLUMNS) :]
        course.events.validation(state.step, dict(zip(names, history.scores[state.step], strict=True)), picture)


def publish(course: Course) -> TrainResult:
    """Score the best weights in fp32, publish them with golden tiles, and remove what only a running run needs."""
    job, state = course.job, course.state
    config, dataset, folder = job.config, job.dataset, job.folder
    job.processes.shared(None)  # the first process has written its last checkpoint
    best = load_checkpoint(folder.checkpoint)
    exact = Machine(device=job.machine.device, is_bf16=False, name=job.machine.name)
    network = exact.place(job.new_network())
    network.load_state_dict(best.network.state_dict())
    scores = {
        part: judge(network, pairs, course.loader.class_weights, exact, job.processes)[0].to_dict(
            dataset.classes.classes
        )
        if pairs
        else None
        for part, pairs in (("validation", dataset.validation), ("test", dataset.test))
    }
    if job.processes.is_first:
        training = training_record(config, dataset, job.machine, folder.name, job.processes.count)
        training |= {
            "complete": True,
            "steps": state.step,
            "best_step": state.best_step,
            "seconds": round(state.seconds, 1),
        }
        spec = make_spec(config, dataset, best.network, {**training, "scores": scores})
        metrics = {
            "name": config.name,
            "created": spec.created,
            **scores,
            **training,
            "speed": course.speed,
            "notices": dataset.notices,
        }
        write_atomically(folder.path / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
        write_report(folder, spec, metrics, course.history)
        write_card(folder.card, spec, metrics)
        golden = choose_golden(best.network, dataset.validation, spec.pixel_type)
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
        validation=scores["validation"] or {},
        test=scores["test"],
        notices=dataset.notices,
    )
