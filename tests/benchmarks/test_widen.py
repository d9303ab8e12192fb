from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.widen import colour_checkpoint, coloured, widen_checkpoint, widened
from tests.models import tiny_checkpoint, tiny_network, tiny_spec
from unetctl.trainer.checkpoint import load_checkpoint


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_a_network_twice_as_wide_has_the_same_logits(channels: int, classes: int) -> None:
    narrow = tiny_network(channels=channels, classes=classes)
    wide = widened(narrow)
    assert wide.down[0][0].out_channels == 2 * narrow.down[0][0].out_channels
    pixels = torch.randn(1, channels, 92, 108, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(wide(pixels), narrow(pixels), rtol=1e-4, atol=1e-5)


def test_a_wide_checkpoint_carries_golden_tiles_of_its_own(tmp_path: Path) -> None:
    network = tiny_network()
    spec = tiny_spec(network)
    narrow = load_checkpoint(tiny_checkpoint(tmp_path / "narrow.safetensors", network, spec))
    widen_checkpoint(narrow.path, tmp_path / "folder" / "wide.safetensors")
    wide = load_checkpoint(tmp_path / "folder" / "wide.safetensors")
    assert wide.spec.base_channels == 2 * narrow.spec.base_channels
    assert wide.spec.weights_sha256 != narrow.spec.weights_sha256
    for ours, theirs in zip(wide.golden, narrow.golden, strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-4, atol=1e-5)


def test_a_network_for_colours_sees_a_gray_image_as_the_one_for_gray(tmp_path: Path) -> None:
    network = tiny_network()
    pixels = torch.randn(1, 1, 92, 108, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(coloured(network)(pixels.repeat(1, 3, 1, 1)), network(pixels), rtol=1e-4, atol=1e-5)
    gray = tiny_checkpoint(tmp_path / "gray.safetensors", network, tiny_spec(network))
    colour_checkpoint(gray, tmp_path / "rgb.safetensors")
    rgb = load_checkpoint(tmp_path / "rgb.safetensors")
    assert rgb.spec.channels == ("red", "green", "blue")
    for ours, theirs in zip(rgb.golden, load_checkpoint(gray).golden, strict=True):
        assert ours.image.shape == (3, *theirs.image.shape[1:])
        np.testing.assert_array_equal(ours.image[2], theirs.image[0])
        np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
