"""Read a model file: an ONNX file that says itself what it is, read with nothing but numpy.

    ModelProto    7 graph   14 metadata (1 key, 2 value)   25 functions
    GraphProto    1 node    5 initializer   15 sparse initializer
    NodeProto     5 attribute (1 name, 5 tensor, 6 graph, 10 tensors, 11 graphs)
    TensorProto   2 type   4 floats   8 name   9 raw data   10 doubles   13 external data   14 location

The numbers are those of onnx.proto. The file is mapped and not copied. A model that would make the runtime open other
files, or whose weights are not finite, goes no further than this module.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unetctl.runtime.errors import DataError, MissingInputError, RefusedError
from unetctl.runtime.golden import GoldenTile, unpack_golden
from unetctl.runtime.protobuf import WireError, fields, messages, text
from unetctl.runtime.spec import EXPORT_KEY, GOLDEN_KEY, SPEC_KEY, ExportRecord, ModelSpec

_FLOAT_TYPES = {1: ("<f4", 4), 10: ("<f2", 2), 11: ("<f8", 8), 16: ("<u2", 2)}
"""TensorProto type -> how its raw data is read, and bytes; bfloat16 (16) as its bits."""

_FOREIGN_STARTS = {
    b"version https://git-lfs": "it is a git-lfs pointer: fetch the file itself with git lfs pull",
    b"\xff\xd8\xff": "it is a JPEG image",
    b"\x89PNG": "it is a PNG image",
    b"II*\0": "it is a TIFF image",
    b"MM\0*": "it is a TIFF image",
    b"II+\0": "it is a TIFF image",
    b"PK\x03\x04": "it is a zip archive, or a PyTorch pickle",
    b"\x80\x02": "it is a pickle",
    b"%PDF": "it is a PDF",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file that was read and checked."""

    path: Path
    spec: ModelSpec
    record: ExportRecord
    golden: tuple[GoldenTile, ...]
    sha256: str
    """Of the file."""


def read_model(path: str | Path) -> Model:
    """Read a model file and check all of it: 0.2 s for the paper's network.

    Raises `MissingInputError`, `DataError` (not ONNX, not ours, damaged, weights not finite) and `RefusedError` (it
    keeps weights or programs elsewhere).
    """
    path = Path(path)
    with _mapped(path) as content:
        metadata = _metadata(content, path)
        spec, record = _described(metadata, path)
        golden = unpack_golden(_value(metadata, GOLDEN_KEY, path), source=str(path))
        for graph in messages(content, 7):
            _check_graph(graph, path)
        sha256 = hashlib.sha256(content).hexdigest()
    return Model(path=path, spec=spec, record=record, golden=golden, sha256=sha256)


def read_model_spec(path: str | Path) -> tuple[ModelSpec, ExportRecord]:
    """Read only what a model file says of itself, in milliseconds. Raises as `read_model`, but checks no weights."""
    path = Path(path)
    with _mapped(path) as content:
        return _described(_metadata(content, path), path)


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """Map the file for reading, and turn what is no ONNX file into errors that say what it is."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
            if not start:
                raise DataError(f"{path} is empty", hint="export or copy the model again")
            _refuse_foreign(path, start)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise MissingInputError(f"there is no model {path}", hint="unetctl export makes one") from error
    except OSError as error:
        if isinstance(error, MissingInputError):
            raise
        raise MissingInputError(f"{path} cannot be read", cause=str(error)) from error
    try:
        with memoryview(mapped) as content:
            yield content
    except WireError as error:
        raise DataError(f"{path} is no ONNX file, or is damaged", cause=str(error)) from error
    finally:
        with suppress(BufferError):  # a view that an error still holds; the map is closed with it
            mapped.close()


def _refuse_foreign(path: Path, start: bytes) -> None:
    for signature, meaning in _FOREIGN_STARTS.items():
        if start.startswith(signature):
            raise DataError(f"{path} is no ONNX file", cause=meaning)
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{path} is no ONNX file", cause="it is a web page: a download that failed?")
    if start[8:9] == b"{":
        raise DataError(
            f"{path} is no ONNX file",
            cause="it looks like a checkpoint (safetensors)",
            hint=f"unetctl export --model {path}",
        )


def _metadata(content: memoryview, path: Path) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    graphs = 0
    for number, value in fields(content):
        if number == 7:
            graphs += 1
        elif number == 25:
            raise RefusedError(f"{path} defines functions of its own; unetctl's models have none")
        elif number == 14 and not isinstance(value, int):
            pair = dict(fields(value))
            entry = pair.get(2, memoryview(b""))
            if not isinstance(entry, int):
                found[text(pair.get(1, memoryview(b"")))] = entry
    if graphs != 1:
        raise DataError(f"{path} is no ONNX file", cause=f"it holds {graphs} graphs and should hold one")
    return found


def _described(metadata: Mapping[str, memoryview], path: Path) -> tuple[ModelSpec, ExportRecord]:
    spec = ModelSpec.from_json(_value(metadata, SPEC_KEY, path), source=str(path))
    return spec, ExportRecord.from_json(_value(metadata, EXPORT_KEY, path), source=str(path))


def _value(metadata: Mapping[str, memoryview], key: str, path: Path) -> str:
    if key not in metadata:
        raise DataError(
            f"{path} lacks the metadata key {key}: it was not exported by unetctl",
            hint="only models that say how images must be prepared can be used; make one with unetctl export",
        )
    return text(metadata[key])


def _check_graph(graph: memoryview, path: Path) -> None:
    """Raise unless every tensor is in the file and every float of it is finite."""
    for number, value in fields(graph):
        if number == 5 and not isinstance(value, int):
            _check_tensor(value, path)
        elif number == 15:
            raise RefusedError(f"{path} has sparse weights; unetctl's models have none")
        elif number == 1 and not isinstance(value, int):
            for attribute in messages(value, 5):
                for kind, content in fields(attribute):
                    if kind in (6, 11):
                        raise RefusedError(f"{path} has a graph within the graph; unetctl's models have none")
                    if kind in (5, 10) and not isinstance(content, int):
                        _check_tensor(content, path)


def _check_tensor(tensor: memoryview, path: Path) -> None:
    found = dict(fields(tensor))  # of a repeated field the last; raw data, which exporters write, is never repeated
    name, kind = text(found.get(8, memoryview(b""))), found.get(2)
    if 13 in found or found.get(14, 0) != 0:
        raise RefusedError(
            f"{path} keeps the weights {name!r} in another file",
            cause="whoever sends a model must not make this machine open other files",
            hint="export it again: unetctl writes one file",
        )
    if kind not in _FLOAT_TYPES:
        return
    dtype, size = _FLOAT_TYPES[kind]
    for number, value in fields(tensor):
        if number == 5:
            raise DataError(
                f"{path}: the weights {name!r} are stored one by one, which cannot be checked", hint="export it again"
            )
        if number not in (4, 9, 10) or isinstance(value, int):
            continue
        if len(value) % size:
            raise DataError(f"{path}: the weights {name!r} have {len(value)} bytes, which is no number of values")
        array = np.frombuffer(value, dtype=dtype)
        if not ((array & 0x7F80) != 0x7F80).all() if kind == 16 else not np.isfinite(array).all():
            raise DataError(
                f"{path}: the weights {name!r} hold a NaN or an infinity", hint="train again, and export the new model"
            )
