"""The models that come with unetctl, by name: an ONNX file and its card, in runtime/models of the installation."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from unetctl.runtime.errors import MissingInputError

BUILTIN_MODELS = ("nuclei",)
"""What `--model` takes beside paths."""


def builtin_model(name: str) -> Path:
    """Return the ONNX file of a built-in model. Raises `MissingInputError` if there is none, or it was taken away."""
    return _file(name, ".onnx")


def builtin_card(name: str) -> Path:
    """Return the page (Markdown) that says what a built-in model can do and where it fails; raises likewise."""
    return _file(name, ".md")


def builtin_name(path: Path) -> str | None:
    """Return the name of the built-in model that lies at `path`, or None for any other file."""
    return next((name for name in BUILTIN_MODELS if _place(name, ".onnx") == path), None)


def _file(name: str, suffix: str) -> Path:
    known = ", ".join(BUILTIN_MODELS)
    if name not in BUILTIN_MODELS:
        raise MissingInputError(f"there is no built-in model {name}", hint=f"built in: {known}")
    path = _place(name, suffix)
    if not path.is_file():
        raise MissingInputError(
            f"the built-in model {name} lacks its file {path.name}",
            cause=f"it is not in {path.parent}",
            hint="install unetctl again",
        )
    return path


def _place(name: str, suffix: str) -> Path:
    return Path(str(files("unetctl.runtime"))) / "models" / f"{name}{suffix}"
