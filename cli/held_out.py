"""Real images that a checkpoint was not trained on, for the comparison that an export must pass."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

from unetctl.runtime.errors import UnetctlError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unetctl.runtime.spec import ModelSpec
    from unetctl.trainer.config import Config

MOST_IMAGES = 2


def held_out_images(config: Config, spec: ModelSpec) -> tuple[list[NDArray[Any]], str]:
    """Read a few of the validation images `[C, H, W]` that the spec names, and say why if there are none.

    The project's data may have moved on since the training; what is no longer there, or no longer fits, is left out.
    """
    from unetctl.trainer.pairs import find_pairs

    names = spec.training.get("split", {}).get("validation", {}).get("names", ())
    images: list[NDArray[Any]] = []
    try:
        found = find_pairs(config.resolve(config.data.images), config.resolve(config.data.labels))
        paths = {pair.stem: pair.image for pair in found.pairs}
        for name in names:
            stem, plane = _stem_and_plane(name)
            path = paths.get(name) or paths.get(stem)
            if path is not None and len(images) < MOST_IMAGES:
                images.append(_read_plane(path, 0 if name in paths else plane, spec))
    except UnetctlError as error:
        return images, error.what
    return images, "" if images else "the validation images of this checkpoint are not in the project"


def _stem_and_plane(name: str) -> tuple[str, int]:
    """Split the trainer's name of a plane: `stack[7]`."""
    match = re.fullmatch(r"(.*)\[(\d+)\]", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _read_plane(path: Path, plane: int, spec: ModelSpec) -> NDArray[Any]:
    import numpy as np

    from unetctl.runtime.fit import fitted
    from unetctl.runtime.image import open_image
    from unetctl.runtime.plan import Window

    with closing(open_image(path)) as opened:
        source = fitted(opened, spec)
        info = source.info
        pixels = np.empty((info.channels, info.height, info.width), info.dtype)
        source.read(plane, Window(y0=0, x0=0, y1=info.height, x1=info.width), pixels)
    return pixels
