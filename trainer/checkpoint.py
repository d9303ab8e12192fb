"""Checkpoints: the weights as safetensors, with the model's spec in the header and golden tiles among the tensors.

    8 bytes   length of the header, little-endian
    header    JSON: {"__metadata__": {"unetctl.spec": ...}, "down.0.0.weight": {dtype, shape, offsets}, ...}
    tensors   down.0.0.weight ... classify.bias, golden.0.image, golden.0.shift, golden.0.scale, golden.0.logits, ...

A checkpoint holds no code: pickles (`.pt`, `.pth`) are refused. torch is imported only where weights become a network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetctl.runtime.errors import DataError, MissingInputError, RefusedError
from unetctl.runtime.spec import SPEC_KEY, ModelSpec
from unetctl.runtime.system import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from unetctl.runtime.golden import GoldenTile
    from unetctl.trainer.network import UNet

MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format."""

_GOLDEN = "golden."
_GOLDEN_FIELDS = ("image", "shift", "scale", "logits")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A trained network and what is known of it."""

    path: Path
    spec: ModelSpec
    network: UNet
    """In eval mode, fp32, on the CPU"""
    golden: tuple[GoldenTile, ...]


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a network's tensors, whatever file they are in.

    Hashed are, for every tensor in the order of its name: the name, the dtype (`float32`) and the shape (`64,1,3,3`),
    each as UTF-8 with a zero byte after it, and then the values, row-major and little-endian.
    """
    return _arrays_sha256({name: tensor.detach().cpu().numpy() for name, tensor in state.items()})


def _arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        for text in (name, str(array.dtype), ",".join(map(str, array.shape))):
            digest.update(text.encode() + b"\0")
        digest.update(array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, network: UNet, spec: ModelSpec, golden: Sequence[GoldenTile]) -> None:
    """Write a checkpoint atomically. Raises `DataError` unless `spec.weights_sha256` is that of `network`."""
    from safetensors.numpy import save

    weights = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in network.state_dict().items()}
    _check_weights(weights, spec, str(path))
    tiles = {
        f"{_GOLDEN}{index}.{name}": _contiguous(getattr(tile, name))
        for index, tile in enumerate(golden)
        for name in _GOLDEN_FIELDS
    }
    write_atomically(path, save({**weights, **tiles}, metadata={SPEC_KEY: spec.to_json()}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check it: spec, hash, finite weights, golden tiles.

    Raises `MissingInputError`, `DataError` (damaged, not ours, non-finite), `RefusedError` (pickle).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    spec = read_spec(path)
    try:
        arrays = load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged", cause=str(error), hint="train again, or copy the file again") from error
    weights = {name: array for name, array in arrays.items() if not name.startswith(_GOLDEN)}
    _check_weights(weights, spec, str(path))
    golden = _golden_tiles({name: array for name, array in arrays.items() if name.startswith(_GOLDEN)}, path)
    return Checkpoint(path=path, spec=spec, network=_build(weights, spec, path), golden=golden)


def read_spec(path: Path) -> ModelSpec:
    """Read what a checkpoint says of itself, without its weights and without torch. Raises as `load_checkpoint`."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            _refuse_pickle(path, start)
            length = int.from_bytes(start, "little")
            header = file.read(length) if len(start) == 8 and length <= MAX_HEADER_BYTES else b""
    except FileNotFoundError as error:
        raise MissingInputError(f"there is no checkpoint {path}", hint="unetctl train makes one") from error
    except RefusedError:  # it is an OSError too
        raise
    except OSError as error:
        raise MissingInputError(f"{path} cannot be read", cause=str(error)) from error
    try:
        if len(header) != length or not header:
            raise ValueError("it is empty, cut off, or of another format")
        metadata = json.loads(header).get("__metadata__", {})
        text = metadata.get(SPEC_KEY)
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no checkpoint (safetensors)", cause=str(error)) from error
    if not isinstance(text, str):
        raise DataError(
            f"{path} lacks the key {SPEC_KEY}: it was not written by unetctl",
            hint="weights alone do not say how images must be prepared; train with unetctl",
        )
    return ModelSpec.from_json(text, source=str(path))


def _refuse_pickle(path: Path, start: bytes) -> None:
    if path.suffix.lower() in (".pt", ".pth", ".pkl", ".ckpt") or start.startswith(
        (b"PK\x03\x04", b"\x80\x02", b"\x80\x04")
    ):
        raise RefusedError(
            f"{path} is a pickle, and reading one can run any program",
            hint="use the model.safetensors of a run that unetctl trained",
        )


def _check_weights(weights: Mapping[str, NDArray[Any]], spec: ModelSpec, source: str) -> None:
    """Raise `DataError` unless the weights are finite and are those that the spec names."""
    import numpy as np

    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise DataError(
                f"{source}: the weights {name} hold a NaN or an infinity",
                cause="training diverged",
                hint="train again with a lower learning rate",
            )
    found = _arrays_sha256(weights)
    if found != spec.weights_sha256:
        raise DataError(
            f"{source}: the weights are not those that its spec names",
            cause=f"SHA-256 {found[:16]}... and not {spec.weights_sha256[:16]}...",
            hint="the file was changed or damaged; train again, or copy it again",
        )


def _build(weights: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> UNet:
    import torch

    from unetctl.trainer.network import UNet

    sizes = {"depth": spec.depth, "base_channels": spec.base_channels}
    with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced
        network = UNet(channels=len(spec.channels), classes=len(spec.classes), **sizes)
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, assign=True)
    except RuntimeError as error:
        raise DataError(f"{path}: the weights do not fit the network that its spec names", cause=str(error)) from error
    return network.eval()


def _golden_tiles(arrays: Mapping[str, NDArray[Any]], path: Path) -> tuple[GoldenTile, ...]:
    from unetctl.runtime.golden import GoldenTile

    try:
        tiles = tuple(
            GoldenTile(**{name: arrays[f"{_GOLDEN}{index}.{name}"] for name in _GOLDEN_FIELDS})
            for index in range(len(arrays) // len(_GOLDEN_FIELDS))
        )
    except KeyError as error:
        raise DataError(f"{path} lacks the tensor {error}", hint="train again, or copy the file again") from error
    for index, tile in enumerate(tiles):
        if fault := tile.fault():
            raise DataError(f"{path}: golden tile {index} cannot be used", cause=fault)
    return tiles


def _contiguous(array: NDArray[Any]) -> NDArray[np.generic]:
    import numpy as np

    return np.ascontiguousarray(array)
