"""What stands beside a TensorRT plan, in `<plan>.json`: of which model it is, where it was built, and for what.

A plan is machine code for one library and one GPU, and says none of this itself. The record also carries the model's
spec and golden tiles, so that a machine with these two files alone can segment, and can check what it computes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from unetctl.runtime.errors import DataError
from unetctl.runtime.geometry import CROP_PX, is_valid_input, shrinkage_px
from unetctl.runtime.golden import GoldenTile, pack_golden, unpack_golden
from unetctl.runtime.spec import ExportRecord, ModelSpec
from unetctl.runtime.tensorrt_library import FLOORS

FORMAT_VERSION = 1

_PAIRS = ("input_yx", "output_yx")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """All that must be known of a plan before it is loaded."""

    kind: str
    """`tensorrt` or `tensorrt-rtx`"""
    library_version: str
    plan_sha256: str
    plan_bytes: int
    onnx_sha256: str
    """Of the model file that it was built from."""
    precision: str
    """Of the graph, as the model's own record says."""
    input_yx: tuple[int, int]
    output_yx: tuple[int, int]
    compute_capabilities: tuple[int, ...]
    """What it was built for, as 89 for 8.9: with TensorRT one, that of the GPU; with TensorRT for RTX those that were
    named, or none for its own choice."""
    gpu: str
    """The name of the GPU on which it was built; empty if there was none."""
    driver_version: str
    """The newest CUDA that the driver knew, as `13.0`; empty without a GPU."""
    cuda_version: str
    platform: str
    """As `linux-x86_64`"""
    created: str
    unetctl_version: str
    acceptance: Mapping[str, Any]
    """How it compared with the golden tiles before it was published; empty where no GPU could run it."""
    spec: ModelSpec
    export: ExportRecord
    """The record of the model file."""

    @property
    def kept_yx(self) -> tuple[int, int]:
        """Return the pixels that a tile keeps: what `--tile` says."""
        return self.output_yx[0] - 2 * CROP_PX, self.output_yx[1] - 2 * CROP_PX

    def to_json(self, golden: Sequence[GoldenTile]) -> str:
        """Return the record with the golden tiles as JSON, for people too: the tiles are the last line."""
        values = asdict(self)
        values["spec"] = json.loads(self.spec.to_json())
        values["export"] = json.loads(self.export.to_json())
        return json.dumps({"format_version": FORMAT_VERSION, **values, "golden": pack_golden(golden)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> tuple[Self, tuple[GoldenTile, ...]]:
        """Read a record and its golden tiles; `source` names the file in the errors. Raises `DataError`."""
        values = _fields(text, source)
        golden = unpack_golden(str(values.pop("golden")), source=source)
        try:
            for name in (*_PAIRS, "compute_capabilities"):
                values[name] = tuple(int(one) for one in values[name])
            values["spec"] = ModelSpec.from_json(json.dumps(values["spec"]), source=source)
            values["export"] = ExportRecord.from_json(json.dumps(values["export"]), source=source)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{source}: the engine's record is malformed", cause=str(error)) from error
        record = cls(**values)
        if wrong := record._fault():
            raise DataError(f"{source}: the engine's record cannot be used", cause=wrong)
        return record, golden

    def _fault(self) -> str:
        """Say what of the record cannot be; empty if nothing."""
        texts = [one.name for one in fields(self) if one.type == "str" and not isinstance(getattr(self, one.name), str)]
        if texts:
            return f"{', '.join(texts)}: no text"
        if self.kind not in FLOORS:
            return f"kind {self.kind!r}; this version knows {', '.join(FLOORS)}"
        if not (_SHA256.fullmatch(self.plan_sha256) and _SHA256.fullmatch(self.onnx_sha256)):
            return "a SHA-256 is 64 hexadecimal digits"
        if type(self.plan_bytes) is not int or self.plan_bytes < 1:
            return f"{self.plan_bytes!r} bytes"
        if not isinstance(self.acceptance, dict):
            return f"acceptance {self.acceptance!r}"
        lost = shrinkage_px(self.spec.depth)
        if len(self.input_yx) != 2 or self.output_yx != tuple(size - lost for size in self.input_yx):
            return f"{self.input_yx} px in and {self.output_yx} px out, at depth {self.spec.depth}"
        if not all(is_valid_input(size, self.spec.depth) for size in self.input_yx):
            return f"tiles of {self.input_yx} px, which depth {self.spec.depth} cannot take"
        return ""


def _fields(text: str, source: str) -> dict[str, Any]:
    """Parse the JSON and check its version, and that no field is missing or unknown."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source} is not JSON", cause=str(error)) from error
    if not isinstance(values, dict) or "plan_sha256" not in values:
        raise DataError(f"{source} is no record of an engine of unetctl")
    version = values.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{source} has format_version {version}, and this version of unetctl reads {FORMAT_VERSION}",
            hint="build the engine again from its ONNX model: unetctl export --model model.onnx --trt",
        )
    known = {one.name for one in fields(EngineRecord)} | {"golden"}
    if wrong := sorted(known ^ values.keys()):
        raise DataError(f"{source}: missing or unknown: {', '.join(wrong)}")
    return values
