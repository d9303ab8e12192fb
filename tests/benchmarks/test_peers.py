from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.peers import THEIR_SCALE, THEIR_SHIFT, contestants, folded, their_names, untiled_labels
from benchmarks.whole_image import logits_of
from tests.models import tiny_network, tiny_spec
from unetctl.trainer.checkpoint import Checkpoint


class TheirUNet(nn.Module):
    """The network of the other tools: levels of the expanding path are counted from below, skips are cropped in their
    middle, and images are normalised inside."""

    def __init__(self, base: int, depth: int) -> None:
        super().__init__()
        wide = [base << level for level in range(depth + 1)]

        def double(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.Conv2d(outputs, outputs, 3), nn.ReLU())

        self.down = nn.ModuleList(double(wide[level - 1] if level else 1, wide[level]) for level in range(depth + 1))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * one, one, 2, 2) for one in reversed(wide[:-1]))
        self.dec = nn.ModuleList(double(2 * one, one) for one in reversed(wide[:-1]))
        self.head = nn.Conv2d(base, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        x, skips = (image - THEIR_SHIFT) * THEIR_SCALE, []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = skips.pop()
        for up, block in zip(self.up, self.dec, strict=True):
            x, skip = up(x), skips.pop()
            cut = (skip.shape[2] - x.shape[2]) // 2
            x = block(torch.cat([skip[:, :, cut:-cut, cut:-cut], x], 1))
        found: Tensor = self.head(x)
        return found


@pytest.fixture
def ours() -> Checkpoint:
    network = tiny_network()
    return Checkpoint(path=Path("none"), spec=tiny_spec(network, shift=97.0, scale=1 / 41), network=network, golden=())


def their_logits(ours: Checkpoint, pixels: Tensor, *, fold: bool = True) -> Tensor:
    state = ours.network.state_dict()
    theirs = TheirUNet(ours.spec.base_channels, ours.spec.depth).eval()
    theirs.load_state_dict(their_names(folded(state, ours.spec) if fold else state, ours.spec.depth))
    with torch.inference_mode():
        return theirs(pixels)


def test_their_network_with_our_weights_is_our_network(ours: Checkpoint) -> None:
    pixels = torch.randint(0, 256, (1, 1, 92, 108), generator=torch.Generator().manual_seed(0)).float()
    with torch.inference_mode():
        expected = ours.network((pixels - 97.0) / 41)
    torch.testing.assert_close(their_logits(ours, pixels), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(their_logits(ours, pixels, fold=False), expected, rtol=1e-2, atol=1e-2)


def test_the_reference_is_the_untiled_network_on_our_pooling_grid(ours: Checkpoint) -> None:
    image = np.random.default_rng(1).integers(0, 256, (61, 74), dtype=np.uint8)
    expected = logits_of(ours.network, ours.spec, image[None]).argmax(axis=0)
    np.testing.assert_array_equal(untiled_labels(ours, image), expected)


def test_a_line_says_what_it_runs() -> None:
    lines = contestants(Path("unetctl"), Path("m.onnx"), None)
    assert [one["name"] for one in lines] == ["unetctl-bf16", "unetctl-fp32", "unetctl-bf16-default-memory"]
    assert all(one["settings"].split("--")[1] in one["cmd"] for one in lines)
    assert "--max-memory" not in lines[-1]["cmd"]
