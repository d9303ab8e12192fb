"""What changes while a run goes on: the weights, where the run stands, and what was written of it so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unetctl.trainer.events import Events
from unetctl.trainer.history import History
from unetctl.trainer.job import Job
from unetctl.trainer.loader import Loader
from unetctl.trainer.resume import TrainingState, load_state
from unetctl.trainer.step import Stepper
from unetctl.trainer.streams import stream_seed


@dataclass(slots=True, kw_only=True, eq=False)
class Course:
    """A run between two steps."""

    job: Job
    stepper: Stepper
    loader: Loader
    state: TrainingState
    history: History
    events: Events | None = None
    """Of the first process, while steps are taken."""

    @property
    def speed(self) -> dict[str, float] | None:
        """What the network and the loader can do, apart from waiting for each other; None if no step was taken."""
        if not self.stepper.steps:
            return None
        return {
            "steps_per_second": round(self.stepper.steps / self.stepper.seconds, 4),
            "samples_per_second": round(self.loader.samples / self.loader.seconds, 4),
        }


def begin(job: Job, *, resume: bool) -> Course:
    """Return the run before its first step, or where it was saved last. Raises as `load_state` and `History.read`."""
    settings = job.config.train
    torch.manual_seed(stream_seed(settings.seed, "weights"))
    stepper = Stepper(job.machine.place(job.new_network()), settings, job.machine, job.processes)
    loader = Loader(job.dataset, job.config, job.processes)
    history = History(class_names=tuple(one.name for one in job.dataset.classes.classes))
    state = TrainingState()
    if resume:
        state = load_state(job, stepper)
        history.read(job.folder.history, state.step)
    return Course(job=job, stepper=stepper, loader=loader, state=state, history=history)
