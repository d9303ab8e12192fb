"""Which plans may be loaded: a plan is a program, and loading it runs it with the rights of the user.

    ~/.cache/unetctl/engines/              0700, of this user alone, or nothing in it counts
        <plan>.engine, <plan>.engine.json  plans that were rebuilt here from their ONNX model
        timing-*.cache                     what the builder measured, so that the next build is shorter
        built/<SHA-256 of a plan>          an empty file: this user built that plan on this machine

A plan is trusted by its bytes and not by its place: it may lie anywhere, and be copied, but a plan with one other bit
is a foreign one. A hash beside the plan would prove nothing, because whoever sends a plan sends the hash. Foreign plans
need `--trust-engine`, which is asked for each time and never remembered.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from unetctl.runtime.errors import DataError, MissingInputError, RefusedError
from unetctl.runtime.user_cache import user_cache

if TYPE_CHECKING:
    from unetctl.runtime.engine_file import EngineFile


def engine_cache() -> Path:
    """Return the user's own folder for engines; it is made if it is not there. Raises as `user_cache`."""
    folder = user_cache("engines")
    user_cache("engines/built")
    return folder


def remember_built(plan_sha256: str) -> None:
    """Note that this user built the plan of this hash on this machine."""
    (engine_cache() / "built" / plan_sha256).touch(mode=0o600)


def was_built_here(plan_sha256: str) -> bool:
    """Tell whether this user built the plan of this hash on this machine. Raises as `engine_cache`."""
    return (engine_cache() / "built" / plan_sha256).is_file()


def trusted_plan(engine: EngineFile, *, trust_foreign: bool) -> bytes:
    """Return the bytes of a plan for the library to load: exactly those whose hash was compared.

    Raises `DataError` if they are not those of the record, and `RefusedError` for a plan that this user did not build,
    unless `trust_foreign`.
    """
    try:
        plan = engine.path.read_bytes()
    except OSError as error:
        raise MissingInputError(f"{engine.path} cannot be read", cause=error.strerror or str(error)) from error
    if hashlib.sha256(plan).hexdigest() != engine.record.plan_sha256:
        raise DataError(
            f"{engine.path} is damaged", cause="its SHA-256 is not the one beside it", hint="build it again"
        )
    if not trust_foreign and not was_built_here(engine.record.plan_sha256):
        raise RefusedError(
            f"{engine.path} was not built here, and an engine is a program that would run with your rights",
            hint="build your own from the ONNX model: unetctl export --model model.onnx --trt; "
            "or --trust-engine, if you trust whoever made it as you would trust their program",
        )
    return plan
