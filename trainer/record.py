"""What a run writes into its folder: the course of its losses, the best weights so far, and at the end the model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from unetctl.runtime.system import write_atomically
from unetctl.trainer.checkpoint import load_checkpoint, save_checkpoint
from unetctl.trainer.describe import make_spec, training_record
from unetctl.trainer.golden_tiles import choose_golden
from unetctl.trainer.history import History
from unetctl.trainer.job import Job
from unetctl.trainer.loader import Loader
from unetctl.trainer.machine import Machine
from unetctl.trainer.measures import dice
from unetctl.trainer.network import UNet
from unetctl.trainer.outcome import TrainResult
from unetctl.trainer.pictures import draw_losses, draw_predictions
from unetctl.trainer.resume import TrainingState
from unetctl.trainer.validate import Prediction, Scores, judge


def keep_best(job: Job, network: UNet, step: int) -> None:
    """Save `network` as the best so far."""
    training = training_record(job.config, job.dataset, job.machine, job.folder.name, job.processes.count)
    training |= {"complete": False, "steps": step}
    save_checkpoint(job.folder.checkpoint, network, make_spec(job.config, job.dataset, network, training), ())


def record_validation(
    job: Job, history: History, state: TrainingState, scores: Scores, predictions: Sequence[Prediction]
) -> None:
    """Add a validation to the history, and draw it."""
    classes = job.dataset.classes.classes
    by_class = dice(scores.matrix).tolist()
    history.scores[state.step] = (scores.loss, scores.mean_dice, scores.pixel_error, *by_class)
    history.write(job.folder.history)
    draw_losses(job.folder.path / "losses.png", history, classes, state.best_step)
    title = (
        f"{job.config.name}, run {job.folder.name}, step {state.step}: mean Dice {scores.mean_dice:.3f} on validation"
    )
    draw_predictions(job.folder.prediction(state.step), job.dataset.validation, predictions, classes, title)


def publish(job: Job, state: TrainingState) -> TrainResult:
    """Score the best weights in fp32, publish them with golden tiles, and remove what only a running run needs."""
    config, dataset, folder = job.config, job.dataset, job.folder
    job.processes.shared(None)  # the first process has written its last checkpoint
    best = load_checkpoint(folder.checkpoint)
    exact = Machine(device=job.machine.device, is_bf16=False, name=job.machine.name)
    network = exact.place(job.new_network())
    network.load_state_dict(best.network.state_dict())
    class_weights = Loader(dataset, config).class_weights
    scores = {
        part: judge(network, pairs, class_weights, exact, job.processes)[0].to_dict(dataset.classes.classes)
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
        metrics = {"name": config.name, "created": spec.created, **scores, **training, "notices": dataset.notices}
        write_atomically(folder.path / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
        save_checkpoint(folder.model, best.network, spec, choose_golden(best.network, dataset.validation))
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
