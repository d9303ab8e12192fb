"""The results of `segment`: where they go, how they are recognised, and the command that makes them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unetctl.cli.models import RunnableModel, as_typed
from unetctl.cli.wording import command_text, counted, path_text
from unetctl.runtime.errors import UnetctlError, UsageError
from unetctl.runtime.result_names import BESIDE_SUFFIXES, RESULT_SUFFIX

_OME_SUFFIXES = (".ome.tiff", ".ome.tif", ".ome.btf")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What of a file is segmented."""

    series: int | None
    level: int
    channels: tuple[int, ...] | None
    """Counted from 0."""


def result_path(image: Path) -> Path:
    """Return where the labels of an image go: beside it, with `.labels.ome.tif` in place of its suffix."""
    suffix = next((one for one in _OME_SUFFIXES if image.name.lower().endswith(one)), image.suffix)
    return image.with_name(image.name[: len(image.name) - len(suffix)] + RESULT_SUFFIX)


def is_own_result(image: Path) -> bool:
    """Tell whether a file is a label image that unetctl made, or the preview or trace beside one.

    A file that cannot be opened is none: what is wrong with it is said where it is segmented.
    """
    from unetctl.runtime.image import open_image

    for suffix in BESIDE_SUFFIXES:
        if image.name.endswith(suffix):
            beside = image.with_name(image.name.removesuffix(suffix) + RESULT_SUFFIX)
            return beside.is_file() and is_own_result(beside)
    try:
        source = open_image(image)
    except UnetctlError:
        return False
    source.close()
    return source.info.made_by is not None


def refuse_shared_results(images: Sequence[Path]) -> None:
    """Raise `UsageError` where the result of one image would replace that of another, as for a.tif and a.png."""
    targets = Counter(result_path(image) for image in images)
    if twice := [target for target, number in targets.items() if number > 1]:
        raise UsageError(
            f"{counted(targets[twice[0]], 'image')} would have one result, {path_text(twice[0])}",
            hint="segment them one by one, each with its own --output",
        )


def refuse_own_result(image: Path) -> None:
    """Raise `UsageError` if the image is a result."""
    if is_own_result(image):
        raise UsageError(
            f"{path_text(image)} is a result of unetctl, and no image to segment",
            hint=command_text("unetctl", "inspect", image),
        )


def command_again(
    image: Path,
    target: Path,
    runnable: RunnableModel,
    view: View,
    *,
    blank: int | None,
    machine: Mapping[str, str | int | None],
) -> str:
    """Return the command that makes a result again; it travels with the result, so it names no folder but this one.

    `machine` are the options about this machine that a run must have again to go on, where they have a value.
    """
    words: list[str | Path] = [
        "unetctl",
        "segment",
        _portable(image),
        "--model",
        _portable(as_typed(runnable.model.path)),
    ]
    words += ["--engine", runnable.choice.name, "--precision", runnable.choice.precision(runnable.model)]
    if view.channels is not None:
        words += ["--channels", ",".join(str(one + 1) for one in view.channels)]
    if view.series is not None:
        words += ["--series", str(view.series)]
    if view.level:
        words += ["--level", str(view.level)]
    if blank is not None:
        words += ["--skip-blank", "--blank-label", runnable.model.spec.classes[blank].name]
    for option, value in machine.items():
        words += [option, str(value)] if value else []
    if target != result_path(image):
        words += ["--output", _portable(target)]
    return command_text(*words)


def _portable(path: str | Path) -> str | Path:
    """Return a path relative to this folder, or the name alone of a file that lies elsewhere; a word stays as it is."""
    if isinstance(path, str):
        return path
    here, full = Path.cwd(), path.absolute()
    return full.relative_to(here) if full.is_relative_to(here) else Path(path.name)
