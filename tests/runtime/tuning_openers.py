"""What a process of a test opens: in a module of its own that imports nothing heavy, because the process imports it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.fakes import fake_choice, fake_model
from unetctl.runtime.engines import EngineChoice, choose_engine
from unetctl.runtime.errors import UnavailableError
from unetctl.runtime.model import Model, read_model


class Deaf:
    """An opener that fails if Ctrl-C would be heard where it is unpickled, which is before the process runs it."""

    def __call__(self) -> tuple[Model, EngineChoice]:
        return fake_model(depth=1), fake_choice()

    def __setstate__(self, state: object) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            os._exit(7)

    def __getstate__(self) -> object:
        return True


def open_by_name(path: Path, name: str) -> tuple[Model, EngineChoice]:
    """Open a model, or fail: `fake`, `broken`, `killed`, or a real engine."""
    if name == "broken":
        raise UnavailableError("it is broken", cause="by the test")
    if name == "killed":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    if name == "fake":
        return fake_model(depth=1), fake_choice()
    model = read_model(path)
    return model, choose_engine(name, model, precision="fp32")
