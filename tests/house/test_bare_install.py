"""The wheel with `[cpu]` alone: `segment` and `check` run where neither torch nor onnx is installed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from tests.models import tiny_checkpoint, tiny_network, tiny_spec
from unetctl.exporter.export import export_model
from unetctl.runtime.geometry import align_up, input_px, margin_px
from unetctl.runtime.mirror import mirror_indices

pytestmark = pytest.mark.journey

DEPTH = 2
IMAGE_YX = (301, 257)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, a model, and the logits that PyTorch gives for the whole image at once."""
    folder = tmp_path_factory.mktemp("workplace")
    network = tiny_network(depth=DEPTH, base_channels=4)
    spec = tiny_spec(network)
    image = np.random.default_rng(0).integers(0, 256, IMAGE_YX, dtype=np.uint8)
    checkpoint = tiny_checkpoint(folder / "tiny.safetensors", network, spec)
    export_model(checkpoint, folder / "tiny.onnx", images=[image[None]])
    tifffile.imwrite(folder / "image.tif", image)
    indices = [mirror_indices(-margin_px(DEPTH), _padded(size) - margin_px(DEPTH), size) for size in IMAGE_YX]
    padded = torch.from_numpy(image[np.ix_(*indices)].astype(np.float32))[None, None]
    shift, scale = spec.normalisation.shift[0], spec.normalisation.scale[0]
    with torch.inference_mode():
        logits = network((padded - shift) * scale)[0, :, 2:, 2:][:, : IMAGE_YX[0], : IMAGE_YX[1]]
    np.save(folder / "logits.npy", logits.numpy())
    return folder


def _padded(size_px: int) -> int:
    return input_px(align_up(size_px, DEPTH), DEPTH)


def unetctl(programs: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bare environment's unetctl in `folder`, with nothing of this environment in sight."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(programs / "unetctl"), *arguments], cwd=folder, env=clean, capture_output=True, text=True, errors="replace"
    )


def test_neither_torch_nor_onnx_is_there(bare: Path) -> None:
    script = (
        "import importlib.util as u; print([n for n in ('torch', 'onnx', 'scipy', 'matplotlib') if u.find_spec(n)])"
    )
    assert subprocess.run([str(bare / "python"), "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


def test_segment_gives_the_labels_of_the_whole_image(bare: Path, workplace: Path) -> None:
    ended = unetctl(bare, workplace, "segment", "image.tif", "--model", "tiny.onnx")
    assert ended.returncode == 0, ended.stderr
    labels = tifffile.imread(workplace / "image.labels.ome.tif")
    logits = np.load(workplace / "logits.npy")
    ordered = np.sort(logits, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4
    assert clear.mean() > 0.99
    assert len(np.unique(labels)) == len(logits), "one class everywhere would prove nothing"
    np.testing.assert_array_equal(labels[clear], logits.argmax(axis=0)[clear])


def test_the_model_in_the_box_works_with_no_training(bare: Path, workplace: Path) -> None:
    ended = unetctl(bare, workplace, "segment", "image.tif", "--model", "nuclei", "--output", "nuclei.ome.tif")
    assert ended.returncode == 0, ended.stderr
    assert tifffile.imread(workplace / "nuclei.ome.tif").shape == IMAGE_YX
    assert unetctl(bare, workplace, "check", "nuclei").returncode == 0


def test_check_accepts_the_model(bare: Path, workplace: Path) -> None:
    ended = unetctl(bare, workplace, "check", "tiny.onnx", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)


def test_a_damaged_model_does_not_pass(bare: Path, workplace: Path) -> None:
    whole = (workplace / "tiny.onnx").read_bytes()
    (workplace / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    assert unetctl(bare, workplace, "check", "cut.onnx").returncode == 65


def test_training_says_what_to_install(bare: Path, workplace: Path) -> None:
    assert unetctl(bare, workplace, "init", "project").returncode == 0
    ended = unetctl(bare, workplace / "project", "train")
    assert ended.returncode == 69
    assert "pip install" in ended.stderr
    assert "[train]" in ended.stderr
