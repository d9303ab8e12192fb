"""`unetctl init`: a new project folder."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from unetctl.cli import output
from unetctl.cli.wording import path_text
from unetctl.runtime.errors import OutputError, UsageError
from unetctl.trainer.config_name import CONFIG_NAME

DATA_README = """\
images/   what the microscope gave: PNG, TIFF or JPEG, gray or RGB, 8 or 16 bit
labels/   for each image, a label image of the same size and the same name (slice_07.tif and slice_07.png match)

A label image is a PNG or TIFF with one whole number a pixel: the class of that pixel (0, 1, 2, ...; the values 0 and
255 alone are taken as two classes), or, with kind = "instances" in unetctl.toml, 0 for the background and another
number for each object. Every pixel counts: what nobody painted has the value 0, and is learned as that class.

One stack of many planes may stand for each folder: images = "data/train.tif" in unetctl.toml.
"""

GITIGNORE = """\
# what unetctl makes; data and unetctl.toml are yours to keep
runs/
models/
*.labels.ome.tif
*.preview.png
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to make; . for the one you are in.")],
) -> None:
    """Make a project folder with settings, images and labels.

    The settings, unetctl.toml, explain themselves. Nothing that is already there is changed.
    """
    config = folder / CONFIG_NAME
    if config.exists():
        raise OutputError(f"{path_text(config)} is already there", saved="nothing was changed", hint="unetctl train")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{path_text(folder)} is a file", saved="nothing was changed", hint="choose another name")
    name = project_name(folder)
    template = files("unetctl.cli").joinpath("template.toml").read_text(encoding="utf-8")
    images, labels = folder / "data" / "images", folder / "data" / "labels"
    try:
        for one in (images, labels):
            one.mkdir(parents=True, exist_ok=True)
        _write_new(folder / "data" / "README.txt", DATA_README)
        _write_new(folder / ".gitignore", GITIGNORE)
        _write_new(config, template.replace('name = "my-project"', f'name = "{name}"', 1))  # last: it makes the project
    except PermissionError as error:
        raise OutputError(f"{path_text(folder)} cannot be written", cause=str(error)) from error

    output.heading(path_text(folder))
    output.pairs(
        [
            (CONFIG_NAME, "the settings, each with its meaning; the defaults are fit for a first try"),
            ("data/images", "put images here: PNG or TIFF, gray or RGB, 8 or 16 bit"),
            ("data/labels", "put a label image of the same name and size here for each: one class number a pixel"),
        ]
    )
    if folder.resolve() == Path.cwd():
        output.next_command("unetctl", "train")
    else:
        output.next_command("cd", folder, then=("unetctl", "train"))


def project_name(folder: Path) -> str:
    """Return the project's name that the folder gives, fit for a file name. Raises `UsageError` if nothing is left."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    if not name:
        raise UsageError(
            f"{folder} gives no name for a project",
            cause="its models are named after it, in letters and digits",
            hint="unetctl init my-project",
        )
    return name


def _write_new(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
