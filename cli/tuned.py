"""What `unetctl tune` remembered, for a command that runs a model: used where nothing that was typed speaks against it.

What is left out is said, with the reason, and never an error: without tuning everything runs as well, if more slowly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli.engine_models import NO_OPTIONS, is_engine_file
from unetctl.cli.models import RunnableModel, Wish, open_model
from unetctl.cli.wording import safe_text, size_text
from unetctl.runtime.errors import StorageError, UnetctlError

if TYPE_CHECKING:
    from unetctl.runtime.run import Resources
    from unetctl.runtime.tuning_record import Tuning, TuningKey

TuneSwitch = Annotated[
    bool, typer.Option("--tune/--no-tune", help="Use what unetctl tune found for this model on this machine.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedRun:
    """A model, its engine and what they may use, after tuning."""

    runnable: RunnableModel
    resources: Resources
    tuning: Tuning | None = None
    """What was used."""
    text: str = ""
    """What to say of it, or why it was left out; empty where nothing is remembered."""

    def facts(self) -> dict[str, Any] | None:
        """Return what `--json` says of it."""
        if self.tuning is None:
            return None
        return {"created": self.tuning.created, "gain": self.tuning.gain, **asdict(self.tuning.setting)}


def tuned_run(
    path: Path, runnable: RunnableModel, resources: Resources, wish: Wish, *, threads: int | None, use: bool = True
) -> TunedRun:
    """Return how to run the model at `path`, as it was tuned if that is known and not spoken against.

    What was tuned for the same `--engine` and `--precision` goes before what was tuned among all.
    """
    plain = TunedRun(runnable=runnable, resources=resources)
    if not use or wish.gpu != NO_OPTIONS:
        return plain
    from unetctl.runtime.tuning_record import TuningStore

    keys = tuning_key(runnable, wish), tuning_key(runnable, replace(wish, engine="auto", precision="auto"))
    try:
        store = TuningStore()
        key = next(filter(store.knows, keys), None)
        if key is None:  # before every engine's library is imported for its version
            return plain
        tuning = store.load(key, engines_here(path, runnable))
    except StorageError:  # a user without a folder for it remembers nothing
        return plain
    except UnetctlError as error:
        return replace(plain, text=_left_out(error))
    if tuning is None:
        return plain
    setting = tuning.setting
    asked = {
        "--engine": (wish.engine, setting.engine),
        "--precision": (wish.precision, setting.precision),
        "--threads": (threads or "auto", setting.threads),
    }
    for option, (wanted, found) in asked.items():
        if wanted not in ("auto", found):
            return replace(plain, text=f"tuned: left out for {option} {safe_text(str(wanted))}; found was {found}")
    choice = runnable.choice
    if (choice.name, choice.precision(runnable.model)) != (setting.engine, setting.precision):
        try:
            runnable = open_model(path, replace(wish, engine=setting.engine, precision=setting.precision))
        except UnetctlError as error:
            return replace(plain, text=_left_out(error))
        reason = runnable.choice.precision_reason.replace("asked for", "as tuned", 1)
        choice = replace(runnable.choice, precision_reason=reason)
    return TunedRun(
        runnable=replace(runnable, choice=replace(choice, reason="as unetctl tune found it")),
        resources=replace(resources, threads=setting.threads, tiles=setting.tiles),
        tuning=tuning,
        text=_used(tuning),
    )


def tuning_key(runnable: RunnableModel, wish: Wish) -> TuningKey:
    """Return under which key the model's tuning is remembered on this machine, for the options that were typed."""
    from unetctl.runtime.tuning_record import TuningKey

    return TuningKey.here(runnable.model.sha256, wish.device, engine=wish.engine, precision=wish.precision)


def engines_here(path: Path, runnable: RunnableModel) -> tuple[str, ...]:
    """Return every engine that could run the model at `path` here, with version and device."""
    from unetctl.runtime.engines import ENGINES, engine_status

    if is_engine_file(path) or runnable.choice.name not in ENGINES:
        return (runnable.choice.description,)
    return tuple(f"{one.name} {one.version} on {one.device}" for one in engine_status() if one.usable)


def _used(tuning: Tuning) -> str:
    day, tiles = tuning.created[:10], tuning.setting.tiles
    if tuning.gain == 1:
        return f"tuned: unetctl tune found nothing faster than the defaults on {day}"
    size = f" ({size_text(tiles.tile_yx)})" if tiles.tile_yx else ""
    return (
        f"tuned: tiles{size}, threads and engine as unetctl tune found them on {day}, "
        f"{tuning.gain:.2f} times as fast as without"
    )


def _left_out(error: UnetctlError) -> str:
    hint = f"; {error.hint}" if error.hint else ""
    return safe_text(f"tuned: what unetctl tune remembered is left out: {error.what}{hint}")
