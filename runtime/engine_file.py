"""An engine on disk: a plan exactly as the library wrote it, and its record beside it.

    cells-1a2b3c4d-512-fp32-trt11.4.0.106-sm89-linux-x86_64.engine         trtexec --loadEngine takes it
    cells-1a2b3c4d-512-fp32-trt11.4.0.106-sm89-linux-x86_64.engine.json    unetctl.runtime.engine_record

The record is written last, so a plan without one is what a killed build left.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unetctl.runtime.engine_record import EngineRecord
from unetctl.runtime.errors import DataError, MissingInputError
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.model import Model
from unetctl.runtime.system import write_atomically
from unetctl.runtime.tensorrt_library import TENSORRT_RTX

SUFFIX = ".engine"
MAX_RECORD_BYTES = 512 << 20
"""A record with golden tiles has some hundred kilobytes; one far above is no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """A plan and its record, as they lie on disk."""

    path: Path
    """Of the plan."""
    record: EngineRecord
    golden: tuple[GoldenTile, ...]

    @property
    def model(self) -> Model:
        """Return the engine as a model, whose file is the plan."""
        record = self.record
        return Model(
            path=self.path,
            spec=record.spec,
            record=record.export,
            golden=self.golden,
            sha256=record.plan_sha256,
        )


def record_path(plan: Path) -> Path:
    """Return where the record of a plan lies."""
    return plan.with_name(plan.name + ".json")


def engine_name(stem: str, record: EngineRecord) -> str:
    """Return the file name of an engine: all that decides whether it is the one that is wanted.

    `stem` is the model's name; the tile is what it keeps, height first if it is not square.
    """
    height, width = record.kept_yx
    is_rtx = record.kind == TENSORRT_RTX
    parts = (
        re.sub(r"[^A-Za-z0-9_.]+", "_", stem).strip("._") or "model",
        record.onnx_sha256[:8],
        f"{height}" if height == width else f"{height}x{width}",
        record.precision,
        f"{'rtx' if is_rtx else 'trt'}{record.library_version}",
        "+".join(f"sm{one}" for one in record.compute_capabilities) or "sm80plus",
        record.platform,
    )
    return "-".join(parts) + SUFFIX


def write_engine_file(path: Path, plan: bytes, record: EngineRecord, golden: Sequence[GoldenTile]) -> EngineFile:
    """Write a plan to `path` and its record beside it, each whole or not at all, the record last."""
    assert hashlib.sha256(plan).hexdigest() == record.plan_sha256, "the record is of another plan"
    record_path(path).unlink(missing_ok=True)  # an old record would call the new plan damaged
    write_atomically(path, plan)
    write_atomically(record_path(path), record.to_json(golden).encode())
    return EngineFile(path=path, record=record, golden=tuple(golden))


def read_engine_file(path: str | Path) -> EngineFile:
    """Read the record of the plan at `path` and compare the plan's bytes with it; that loads and trusts nothing.

    Raises `MissingInputError` if there is no plan, and `DataError` for one that has no record, another's or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"there is no engine {path}", hint="unetctl export --trt builds one")
    beside = record_path(path)
    try:
        if beside.stat().st_size > MAX_RECORD_BYTES:
            raise DataError(f"{beside} is no record of an engine: it is too large")
        text = beside.read_text("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"{path} lacks its record {beside.name}",
            cause="unetctl did not build it, or it was copied without, or its build was killed",
            hint="copy both files, or build it again from the ONNX model: unetctl export --model model.onnx --trt",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{beside} is no record of an engine", cause=str(error)) from error
    except OSError as error:
        raise MissingInputError(f"{beside} cannot be read", cause=error.strerror or str(error)) from error
    record, golden = EngineRecord.from_json(text, source=str(beside))
    _compare(path, record)
    return EngineFile(path=path, record=record, golden=golden)


def _compare(path: Path, record: EngineRecord) -> None:
    """Raise `DataError` unless the plan at `path` is that of `record`."""
    try:
        size = path.stat().st_size
        if size == record.plan_bytes:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if hashlib.sha256(content).hexdigest() == record.plan_sha256:
                    return
    except OSError as error:
        raise MissingInputError(f"{path} cannot be read", cause=error.strerror or str(error)) from error
    cause = "its SHA-256 is not the one in its record" if size == record.plan_bytes else f"it has {size:,} bytes"
    raise DataError(
        f"{path} is damaged, or the record beside it is another's",
        cause=cause if size == record.plan_bytes else f"{cause}, and its record says {record.plan_bytes:,}",
        hint="copy both files again, or build it again from the ONNX model",
    )
