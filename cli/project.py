"""The project a command works in, and the newest complete result of the command before.

    my-project/
        unetctl.toml                  makes the folder a project; found from any folder inside it
        runs/<name>/model.safetensors     there exactly when the run is complete
        models/<name>.onnx                exports

The newest is the one whose own spec or record says so: the times of files change when they are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.cli import output
from unetctl.cli.engine_models import TENSORRT_ENGINE
from unetctl.cli.models import Wish, model_path
from unetctl.cli.wording import safe_text, time_text
from unetctl.runtime.builtin import builtin_name
from unetctl.runtime.errors import MissingInputError, UnetctlError
from unetctl.trainer.config_name import CONFIG_NAME

if TYPE_CHECKING:
    from unetctl.trainer.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A file that a command takes from the project, and why that one."""

    path: Path
    reason: str


def find_project(start: Path | None = None) -> Path | None:
    """Return the `unetctl.toml` of the project that `start` (default: here) is in, walking up, or None."""
    folder = (start or Path.cwd()).resolve()
    return next((one / CONFIG_NAME for one in (folder, *folder.parents) if (one / CONFIG_NAME).is_file()), None)


def load_project(config_file: Path | None) -> Config:
    """Read the project's settings: those of `--config`, or of the project that this folder is in.

    Raises `MissingInputError` outside a project, and what `load_config` raises.
    """
    from unetctl.trainer.config import load_config

    found = config_file or find_project()
    if found is None:
        raise MissingInputError(
            f"this is no project: there is no {CONFIG_NAME} in {safe_text(str(Path.cwd()))} or above",
            hint="unetctl init my-project makes one; or go into yours",
        )
    return load_config(found)


def with_data(config: Config, data: Path | None) -> Config:
    """Return the settings with the images and labels of `--data`, if it was given."""
    if data is None:
        return config
    folder = data.absolute()
    return replace(config, data=replace(config.data, images=str(folder / "images"), labels=str(folder / "labels")))


def newest_checkpoint(config: Config) -> Choice:
    """Return the checkpoint to export. Raises `MissingInputError` where no run is complete."""
    from unetctl.trainer.checkpoint import read_spec

    if config.export.model:
        return Choice(path=config.resolve(config.export.model), reason=f"[export] model in {CONFIG_NAME}")
    found = sorted(config.folder.glob("runs/*/model.safetensors"))
    return _newest(
        found,
        lambda path: read_spec(path).created,
        what="no training run of this project is complete",
        hint="unetctl train",
        verb="trained",
    )


def model_to_use(text: str | None, config_file: Path | None, wish: Wish) -> tuple[Path, str]:
    """Return the model that `--model` names, or the project's for what is wished, and why that one."""
    if text is not None:
        path = model_path(text)
        return path, "built in" if builtin_name(path) else ""
    if config_file is None and find_project() is None:
        raise MissingInputError(
            "there is no model: this is no project",
            hint="--model nuclei for nuclei in fluorescence, --model file.onnx, or go into a project folder",
        )
    is_tensorrt = wish.engine == TENSORRT_ENGINE
    choice = newest_model(load_project(config_file), wish.precision, for_tensorrt=is_tensorrt)
    return choice.path, choice.reason


def newest_model(config: Config, precision: str = "auto", *, for_tensorrt: bool = False) -> Choice:
    """Return the model to segment with. Raises `MissingInputError` where nothing was exported.

    `precision` is that of the run: fp16, which is for GPUs, and int8 are taken only where they are asked for by name;
    of the two int8 graphs the one for the engine.
    """
    from unetctl.runtime.model import read_model_spec
    from unetctl.runtime.precision_choice import is_for_tensorrt

    graph = precision if precision in ("fp16", "int8") else "fp32"

    if config.segment.model:
        path = model_path(config.segment.model, config.folder)
        return Choice(path=path, reason=f"[segment] model in {CONFIG_NAME}")
    found = sorted(config.folder.glob("models/*.onnx"))

    def created(path: Path) -> str | None:
        record = read_model_spec(path)[1]
        is_meant = record.precision == graph and (graph != "int8" or is_for_tensorrt(record) == for_tensorrt)
        return record.created if is_meant else None

    return _newest(
        found,
        created,
        what=f"this project has no model in {graph}" if found else "this project has no exported model",
        hint="unetctl export" if graph == "fp32" else f"unetctl export --precision {graph}",
        verb="exported",
    )


def _newest(found: Sequence[Path], created: Callable[[Path], str | None], *, what: str, hint: str, verb: str) -> Choice:
    """Return the file that was made last, by what it says itself; a file that cannot be read is left out, and named.

    One for which `created` returns None is not meant.
    """
    dated: list[tuple[datetime, str, Path]] = []
    for path in found:
        try:
            text = created(path)
        except UnetctlError as error:
            output.notice(f"left out: {error.what}")
            continue
        if text is not None:
            dated.append((_moment(text), text, path))
    if not dated:
        raise MissingInputError(what, hint=hint)
    _, text, path = max(dated)
    among = f", the newest of {len(dated)}" if len(dated) > 1 else ""
    return Choice(path=path, reason=f"{verb} {time_text(text)}{among}")


def _moment(text: str) -> datetime:
    """Return when something was made; what says no proper time counts as oldest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
