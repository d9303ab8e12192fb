"""Checkpoints: what is saved comes back, and what is not a sound checkpoint of ours is refused by name."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.models import tiny_checkpoint, tiny_golden, tiny_network, tiny_spec
from unetctl.runtime.errors import DataError, MissingInputError, RefusedError, UnetctlError
from unetctl.runtime.spec import SPEC_KEY, PixelType, Scope
from unetctl.trainer.checkpoint import load_checkpoint, read_spec, save_checkpoint, weights_sha256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    network = tiny_network(depth=1, base_channels=2)
    return tiny_checkpoint(tmp_path / "model.safetensors", network, tiny_spec(network))


def rewrite(path: Path, change: dict[str, np.ndarray], spec: str | None = None) -> None:
    """Write the file again with other tensors, as somebody without our code would."""
    metadata = {SPEC_KEY: read_spec(path).to_json() if spec is None else spec}
    save_file({**load_file(path), **change}, path, metadata=metadata)


@pytest.mark.parametrize("pixel_type", list(PixelType))
def test_a_checkpoint_comes_back_whole(tmp_path: Path, pixel_type: PixelType) -> None:
    network = tiny_network(depth=2, channels=2, classes=3)
    spec = tiny_spec(network, scope=Scope.IMAGE, pixel_type=pixel_type)
    golden = tiny_golden(network, spec)
    save_checkpoint(tmp_path / "model.safetensors", network, spec, golden)
    found = load_checkpoint(tmp_path / "model.safetensors")
    assert found.spec == spec == read_spec(found.path)
    assert not found.network.training
    assert weights_sha256(found.network.state_dict()) == spec.weights_sha256
    for before, after in zip(golden, found.golden, strict=True):
        np.testing.assert_array_equal(before.image, after.image, strict=True)
        with torch.inference_mode():
            x = (after.image.astype(np.float32) - after.shift[:, None, None]) * after.scale[:, None, None]
            np.testing.assert_array_equal(found.network(torch.from_numpy(x[None]))[0].numpy(), after.logits)


def test_loading_does_not_touch_the_random_stream(path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_checkpoint(path)
    assert torch.equal(torch.rand(4), expected)


def test_the_hash_is_what_its_description_says() -> None:
    state = {"b": torch.tensor([[1.5, 2.0]]), "a": torch.tensor([3], dtype=torch.int64)}
    text = b"a\0int64\0" + b"1\0" + (3).to_bytes(8, "little")
    text += b"b\0float32\0" + b"1,2\0" + np.array([1.5, 2.0], "<f4").tobytes()
    assert weights_sha256(state) == hashlib.sha256(text).hexdigest()
    assert weights_sha256({**state, "b": state["b"].T}) != weights_sha256(state)


def test_the_spec_is_read_without_torch(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from unetctl.trainer.checkpoint import read_spec;"
        "read_spec(Path(sys.argv[1])); sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(path: Path, value: float) -> None:
    bias = load_file(path)["classify.bias"].copy()
    bias[1] = value
    rewrite(path, {"classify.bias": bias})
    with pytest.raises(DataError, match=r"classify\.bias"):
        load_checkpoint(path)


def test_diverged_weights_are_not_saved(tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2)
    with torch.no_grad():
        network.down[0][0].weight[0, 0, 0, 0] = torch.nan  # type: ignore[index]
    with pytest.raises(DataError, match="diverged"):
        save_checkpoint(tmp_path / "model.safetensors", network, tiny_spec(network), ())
    assert not list(tmp_path.iterdir())


def test_one_changed_weight_is_noticed(path: Path) -> None:
    bias = load_file(path)["classify.bias"].copy()
    bias[1] = np.nextafter(bias[1], np.float32(1))
    rewrite(path, {"classify.bias": bias})
    with pytest.raises(DataError, match="not those that its spec names"):
        load_checkpoint(path)


def test_weights_of_another_network_are_refused(path: Path) -> None:
    spec = replace(read_spec(path), base_channels=4)
    rewrite(path, {}, spec.to_json())
    with pytest.raises(DataError, match="do not fit"):
        load_checkpoint(path)


def test_a_golden_tile_that_is_damaged_is_refused(path: Path) -> None:
    rewrite(path, {"golden.0.shift": np.full(1, np.nan, np.float32)})
    with pytest.raises(DataError, match="golden tile 0"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["model.pt", "model.pth"])
def test_a_pickle_is_refused_and_never_opened(tmp_path: Path, name: str) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    (tmp_path / name).rename(tmp_path / "renamed.safetensors")
    with pytest.raises(RefusedError) as caught:
        load_checkpoint(tmp_path / "renamed.safetensors")
    assert "model.safetensors" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x00",
        b"<!DOCTYPE html>" * 9,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (40).to_bytes(8, "little") + json.dumps({"__metadata__": {SPEC_KEY: "{}"}}).encode()[:40],
    ],
)
def test_what_is_no_checkpoint_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors"):
        read_spec(path)


def test_weights_of_somebody_else_lack_our_key(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=SPEC_KEY):
        load_checkpoint(tmp_path / "other.safetensors")


def test_a_missing_file_is_a_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_changed_bytes_give_one_of_our_errors_or_nothing_worse(path: Path, at: int, value: int) -> None:
    whole = path.read_bytes()
    content = bytearray(whole)
    content[at % min(len(content), 4000)] = value
    path.write_bytes(content)
    try:
        load_checkpoint(path)
    except UnetctlError:
        pass
    finally:
        path.write_bytes(whole)
