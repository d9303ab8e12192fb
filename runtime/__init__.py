"""Stream an image of any size through a model and write the result: `from unetctl.runtime import segment`.

Names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unetctl.runtime.engines import choose_engine as choose_engine
    from unetctl.runtime.image import open_image as open_image
    from unetctl.runtime.model import read_model as read_model
    from unetctl.runtime.planned import plan_file as plan_file
    from unetctl.runtime.run import Resources as Resources
    from unetctl.runtime.segmentation import segment as segment
    from unetctl.runtime.segmentation import segment_file as segment_file

_HOMES = {
    "Resources": "run",
    "choose_engine": "engines",
    "open_image": "image",
    "plan_file": "planned",
    "read_model": "model",
    "segment": "segmentation",
    "segment_file": "segmentation",
}

__all__ = ["Resources", "choose_engine", "open_image", "plan_file", "read_model", "segment", "segment_file"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
