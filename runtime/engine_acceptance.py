"""Whether an engine that was just built may be published: its golden tiles, on the GPU that it was built for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unetctl.runtime.check import check_model
from unetctl.runtime.engine_file import EngineFile
from unetctl.runtime.engines import EngineFactory
from unetctl.runtime.errors import CheckFailedError


def accept_engine(file: EngineFile, open_engine: EngineFactory) -> Mapping[str, Any]:
    """Run the golden tiles of an engine file through `open_engine` and return the figures for its record.

    Raises `CheckFailedError` if a label differs from PyTorch's by more than rounding explains, and what engines raise.
    """
    record = file.record
    (row,) = check_model(file.model, {record.kind: open_engine})
    found = row.agreement
    if not row.passed:
        raise CheckFailedError(
            f"the engine {file.path.name} does not give PyTorch's labels",
            cause=f"{found.flips_beyond:,} of {found.pixels:,} labels differ beyond rounding, "
            f"{found.invalid:,} are not a number",
            saved="it was not published; the model that it was built from is as it was",
            hint=f"use another engine, and report this with {record.kind} {record.library_version} and {record.gpu}",
        )
    return {"tiles": row.tiles, "tolerance": row.tolerance, **asdict(found), "passed": True}
