"""The budget holds for the files that strain it: each is segmented in a process of its own, whose peak is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.data import ROOT
from tests.models import tiny_model

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="NOT RUN: no peak in /proc")

MIB = 1 << 20
CHILD = """
import dataclasses, json, sys
from pathlib import Path
from tests.fakes import FakeEngine, fake_choice, fake_model
from unetctl.runtime import chunk_cache
from unetctl.runtime.engines import choose_engine
from unetctl.runtime.image import open_image
from unetctl.runtime.model import read_model
from unetctl.runtime.run import Resources, prepare
from unetctl.runtime.segmentation import segment_run
from unetctl.runtime.spec import PixelType

image, model, mib, readers, fault = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
source = open_image(image)
if model:
    model, choice = read_model(Path(model)), choose_engine("onnxruntime")
else:
    sample_bytes = 2 if source.info.dtype == "uint16" else 1  # a pixel's samples, and one of them modulo the classes
    choice = fake_choice(bytes_a_pixel=(source.info.channels + 1) * sample_bytes + 1)
    model = fake_model(channels=source.info.channels, classes=5)
    model = dataclasses.replace(model, spec=dataclasses.replace(model.spec, pixel_type=PixelType(source.info.dtype)))
if fault == "hoards":
    chunk_cache.ChunkCache._shrink = chunk_cache.ChunkCache.uses = lambda *_: None
resources = Resources(max_memory_bytes=mib << 20, threads=1, readers=readers)
run = prepare(source, model, choice, resources)
report = segment_run(run, image.with_name("labels.ome.tif"), overwrite=True)
print(json.dumps([report.peak_memory_bytes, run.memory.expected_bytes, run.memory.cache_bytes, report.notices]))
"""


@dataclass(frozen=True)
class Peak:
    """What one process said of itself, in bytes."""

    peak: int
    expected: int
    cache: int
    notices: tuple[str, ...]


def run_child(image: Path, model: Path | None, mib: int, *, readers: int = 1, fault: str = "") -> Any:
    """Segment in a process of its own; with a fake engine if there is no model."""
    command = [sys.executable, "-c", CHILD, str(image), str(model or ""), str(mib), str(readers), fault]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def peak_of(*arguments: Any, **options: Any) -> Peak:
    done = run_child(*arguments, **options)
    assert done.returncode == 0, done.stderr
    peak, expected, cache, notices = json.loads(done.stdout)
    return Peak(peak=peak, expected=expected, cache=cache, notices=tuple(notices))


def textured(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    """Pixels that compress four times or so, and are made fast: a square of noise, again and again."""
    size = np.iinfo(dtype).max // 8
    square = np.random.default_rng(0).integers(0, size, (*shape[:-2], 64, 64), dtype)
    return np.tile(square, (*(1 for _ in shape[:-2]), -(-shape[-2] // 64), -(-shape[-1] // 64)))[
        ..., : shape[-2], : shape[-1]
    ]


def save(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    fast = {"compression": "zlib", "compressionargs": {"level": 1}, "metadata": None, "photometric": "minisblack"}
    tifffile.imwrite(path, pixels, **{**fast, **options})


def colour(height: int, width: int, dtype: str = "uint8") -> NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(textured(3, height, width, dtype=dtype), 0, -1))


HARD: dict[str, tuple[int, Callable[[Path], None]]] = {
    "one strip": (400, lambda path: save(path, textured(8000, 8000), rowsperstrip=8000, predictor=True)),
    "huge strips of turned 16-bit colours": (
        350,
        lambda path: save(path, colour(4000, 3000, "uint16"), rowsperstrip=2000, photometric="rgb", byteorder=">"),
    ),
    "16-bit colours in tiles": (
        300,
        lambda path: save(path, colour(3000, 3000, "uint16"), tile=(512, 512), photometric="rgb"),
    ),
    "thirty planes": (260, lambda path: save(path, textured(30, 1000, 1100), rowsperstrip=1000)),
    "JPEG tiles": (
        300,
        lambda path: save(
            path, colour(4000, 4000), tile=(256, 256), photometric="rgb", compression="jpeg", compressionargs=None
        ),
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_the_budget_and_the_prediction_hold(tmp_path: Path, name: str) -> None:
    mib, write = HARD[name]
    write(tmp_path / "hard.tif")
    found = peak_of(tmp_path / "hard.tif", None, mib)

    assert found.peak <= found.expected <= mib * MIB
    assert not found.notices


def test_two_readers_keep_to_it_too(tmp_path: Path) -> None:
    save(tmp_path / "hard.tif", colour(4000, 3000, "uint16"), rowsperstrip=1000, photometric="rgb")
    found = peak_of(tmp_path / "hard.tif", None, 500, readers=2)

    assert found.peak <= found.expected <= 500 * MIB


def test_probabilities_are_counted(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, depth=2, base_channels=4, outputs=("labels", "probabilities"))
    save(tmp_path / "hard.tif", textured(1500, 1500), tile=(256, 256))
    found = peak_of(tmp_path / "hard.tif", model, 400)

    assert found.peak <= found.expected <= 400 * MIB


def test_a_progressive_jpeg_is_counted_with_its_coefficients(tmp_path: Path) -> None:
    Image.fromarray(colour(4000, 4000)).save(tmp_path / "hard.jpg", progressive=True)
    found = peak_of(tmp_path / "hard.jpg", None, 400)

    assert found.peak <= found.expected <= 400 * MIB


def test_a_strip_that_does_not_fit_is_refused_before_it_is_decoded_with_what_would_suffice(tmp_path: Path) -> None:
    save(tmp_path / "hard.tif", textured(12_000, 12_000), rowsperstrip=12_000)
    refused = run_child(tmp_path / "hard.tif", None, 200)

    assert refused.returncode == 1
    assert "decoded in pieces of 12000 x 12000 px, 137 MiB: saved as tiles it would take less" in refused.stderr
    enough = int(refused.stderr.split("--max-memory ")[1].split("MiB")[0])
    found = peak_of(tmp_path / "hard.tif", None, enough)
    assert found.peak <= enough * MIB


def test_a_cache_that_hoards_is_caught(tmp_path: Path) -> None:
    """Seeded: nothing is ever dropped. The measured peak must show it, and the run must say so."""
    save(tmp_path / "hard.tif", textured(30, 1700, 1800), tile=(256, 256))
    found = peak_of(tmp_path / "hard.tif", None, 200, fault="hoards")

    assert found.peak > found.expected
    assert any("more memory than allowed" in one for one in found.notices)
