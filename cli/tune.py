"""`unetctl tune`: what is fastest for a model on this machine, measured, and remembered for `segment`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unetctl.cli import output, tune_report
from unetctl.cli.engine_models import DeviceName, EngineName, PrecisionName, is_engine_file
from unetctl.cli.models import RunnableModel, Wish, as_typed, open_model
from unetctl.cli.progress import progress
from unetctl.cli.project import model_to_use
from unetctl.cli.quantity import parse_bytes
from unetctl.cli.tuned import engines_here, tuning_key
from unetctl.cli.wording import path_text
from unetctl.runtime.errors import RefusedError, UnavailableError, UsageError

if TYPE_CHECKING:
    from unetctl.runtime.engines import EngineChoice
    from unetctl.runtime.image import ImageInfo
    from unetctl.runtime.model import Model
    from unetctl.runtime.run import Resources
    from unetctl.runtime.tuning import Setting, Trial
    from unetctl.runtime.tuning_record import TuningStore
    from unetctl.runtime.tuning_run import TuningResult

AUTO = "auto"

Choices = dict[tuple[str, str], "EngineChoice"]


def tune(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="FILE", help="Model, as segment takes it; default: the project's newest."
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Settings; default: unetctl.toml of this project."),
    ] = None,
    engine: EngineName = "auto",
    precision: PrecisionName = "auto",
    device: DeviceName = "",
    max_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Memory to stay under, as 4GiB; default: that of segment.")
    ] = "",
    minutes: Annotated[float, typer.Option(metavar="N", help="How long to look.")] = 5.0,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tune for an image of this size; default: for a large one.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget what is remembered for this model and these options here.")
    ] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Show what is remembered.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find what segments fastest on this machine.

    Engines, tiles, threads and what is in flight are measured, and the best for this model is remembered for segment.
    Labels do not depend on it, but for ties. Nothing else should run on the machine meanwhile.
    """
    from unetctl.runtime.run import Resources
    from unetctl.runtime.tuning_record import TuningStore

    if not 0 < minutes <= 24 * 60:
        raise UsageError(f"--minutes {minutes:g} cannot be", hint="--minutes 5")
    store = TuningStore()
    if list_all:
        _list(store, as_json=as_json)
        return
    wish = Wish(engine=engine, precision=precision, device=device)
    path, _ = model_to_use(model, config_file, wish)
    runnable = open_model(path, wish)
    if forget:
        was = store.forget(tuning_key(runnable, wish))
        if as_json:
            output.result_json({"model": str(path), "forgotten": was})
        else:
            output.result(
                "forgotten" if was else "nothing was remembered for this model and these options on this machine"
            )
        return
    budget = parse_bytes(max_memory, option="--max-memory") if max_memory else None
    resources = Resources.of_this_machine(max_memory_bytes=budget)
    choices = engine_choices(path, runnable, wish)
    info = _image_info(image, runnable.model)
    result = _measured(path, runnable, choices, info, resources, minutes=minutes, device=device, quiet=as_json)
    _remember(store, path, runnable, result, info, resources, wish=wish, as_json=as_json)


def engine_choices(path: Path, runnable: RunnableModel, wish: Wish) -> Choices:
    """Return every engine that can run the model in a precision that its export accepted; what runs untuned first."""
    from unetctl.runtime.engines import ENGINES, choose_engine

    model = runnable.model

    def by_name(choice: EngineChoice) -> tuple[str, str]:
        return choice.name, str(choice.precision(model))

    found = {by_name(runnable.choice): runnable.choice}
    if is_engine_file(path) or runnable.choice.name not in ENGINES:
        return found
    for name in ENGINES if wish.engine == AUTO else (wish.engine,):
        for precision in (AUTO, str(model.record.precision)) if wish.precision == AUTO else (wish.precision,):
            try:
                choice = choose_engine(name, model, precision=precision, device=wish.device)
            except (RefusedError, UnavailableError, UsageError):  # not here, not accepted, or without such a device
                continue
            found.setdefault(by_name(choice), choice)
    return found


def open_again(path: Path, wish: Wish) -> tuple[Model, EngineChoice]:
    """Open a model in another process."""
    runnable = open_model(path, wish)
    return runnable.model, runnable.choice


def _image_info(image: Path | None, model: Model) -> ImageInfo:
    from unetctl.runtime.fit import fitted
    from unetctl.runtime.image import open_image
    from unetctl.runtime.tuning_space import stand_in_image

    if image is None:
        return stand_in_image(model)
    source = open_image(image)
    try:
        return fitted(source, model.spec).info
    finally:
        source.close()


def _measured(
    path: Path,
    runnable: RunnableModel,
    choices: Choices,
    info: ImageInfo,
    resources: Resources,
    *,
    minutes: float,
    device: str,
    quiet: bool,
) -> TuningResult:
    from unetctl.runtime.tuning_run import tune as search_space
    from unetctl.runtime.tuning_space import TuningSpace

    openers = {
        (name, precision): partial(open_again, path, Wish(engine=name, precision=precision, device=device))
        for name, precision in choices
    }
    space = TuningSpace(model=runnable.model, engines=choices, info=info, resources=resources)
    if not quiet:
        output.notice(f"model: {path_text(as_typed(path))}")
    begun = time.monotonic()
    with progress("tuning", quiet=quiet) as update:

        def on_round(setting: Setting, trials: Sequence[Trial]) -> None:
            spent, best = time.monotonic() - begun, max([1.0, *(one.ratio for one in trials if one.is_better)])
            title = f"tuning: {setting.engine} {setting.precision}"
            text = f"{len(trials)} tried, best x {best:.2f}"
            update(min(spent, 60 * minutes), 60 * minutes, text, left_s=max(0.0, 60 * minutes - spent), title=title)

        return search_space(space, openers, seconds=60 * minutes, on_round=on_round)


def _remember(
    store: TuningStore,
    path: Path,
    runnable: RunnableModel,
    result: TuningResult,
    info: ImageInfo,
    resources: Resources,
    *,
    wish: Wish,
    as_json: bool,
) -> None:
    from unetctl.runtime.tuning_record import Tuning

    outcome = result.outcome
    tuning = Tuning(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=runnable.model.spec.name,
        key=tuning_key(runnable, wish),
        engines=engines_here(path, runnable),
        setting=outcome.best,
        gain=outcome.gain,
        mpx_per_second=outcome.mpx_per_second,
        default_mpx_per_second=outcome.default_mpx_per_second,
        image_yx=(info.height, info.width),
        max_memory_bytes=resources.max_memory_bytes,
    )
    if not as_json:
        tune_report.show(result, tuning, budget_bytes=resources.max_memory_bytes)
    saved = None
    try:
        saved = store.save(tuning)
    finally:  # a full disk must not take with it what was measured
        if as_json:
            record = {"record": str(saved) if saved else None}
            output.result_json({"model": str(path), **record, **tune_report.facts(result)})
    if not as_json:
        output.next_command("unetctl", "segment", "IMAGE", "--model", as_typed(path), *_asked(wish))


def _asked(wish: Wish) -> list[str]:
    """Return the options without which `segment` would not look for what was tuned with them."""
    options = (("--engine", wish.engine, AUTO), ("--precision", wish.precision, AUTO), ("--device", wish.device, ""))
    return [word for option, typed, unset in options if typed != unset for word in (option, typed)]


def _list(store: TuningStore, *, as_json: bool) -> None:
    from unetctl.runtime.tuning_record import TuningKey

    found, here = store.all(), TuningKey.here("")
    if as_json:
        output.result_json([asdict(one) for one in found])
    else:
        tune_report.show_list(found, here=(here.processor, here.processors))
