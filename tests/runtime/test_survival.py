"""What a run leaves behind when it is killed, wherever it is, when the disk is full, and how much memory it takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

from tests.data import ROOT
from tests.fakes import fake_choice
from tests.runtime.test_segmentation import MIB, MODEL, RESOURCES, picture
from unetctl.runtime.segmentation import segment_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: POSIX signals and limits")

SEGMENT = """
import os, signal, sys
from pathlib import Path
from tests.fakes import FakeEngine, fake_choice
from tests.runtime.test_segmentation import MODEL, RESOURCES, broken_choice
from unetctl.runtime import outcome, segmentation

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

choice = fake_choice()
where = sys.argv[3]
if where == "tile":
    class Killing(FakeEngine):
        def result(self, slot):
            return kill() if slot == 1 else super().result(slot)
    choice = broken_choice(Killing)
elif where == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))
else:
    setattr(segmentation if where == "write_atomically" else outcome, where, kill)
segmentation.segment_file(
    Path(sys.argv[1]), output=Path(sys.argv[2]), model=MODEL, engine=choice, resources=RESOURCES, overwrite=True
)
"""


def segment_in_a_child(path: Path, output: Path, where: str) -> subprocess.CompletedProcess[str]:
    """Segment in a process of its own that is killed at `where`, or that may write no large file (`limit`)."""
    return subprocess.run(
        [sys.executable, "-c", SEGMENT, str(path), str(output), where],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("where", ["tile", "build_pyramid", "write_ome_tiff", "verify_ome_tiff", "publish"])
def test_a_killed_run_leaves_the_old_output_and_the_next_run_replaces_it(tmp_path: Path, where: str) -> None:
    path, pixels = picture(tmp_path, (1200, 5000))
    output = tmp_path / "a.ome.tif"
    output.write_bytes(b"the old one")
    killed = segment_in_a_child(path, output, where)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert output.read_bytes() == b"the old one"
    assert (tmp_path / ".a.ome.tif.run" / "chunks.bin").exists()
    segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES, overwrite=True)
    assert (tifffile.imread(output) == pixels % 5).all()
    assert not (tmp_path / ".a.ome.tif.run").exists()


def test_a_run_killed_after_publishing_leaves_a_complete_output(tmp_path: Path) -> None:
    path, pixels = picture(tmp_path, (600, 700))
    output = tmp_path / "a.ome.tif"
    killed = segment_in_a_child(path, output, "write_atomically")  # of the preview

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tifffile.imread(output) == pixels % 5).all()


def test_a_disk_that_takes_no_more_is_named_and_the_old_output_stays(tmp_path: Path) -> None:
    path, _ = picture(tmp_path, (1200, 1200))
    output = tmp_path / "a.ome.tif"
    output.write_bytes(b"the old one")
    failed = segment_in_a_child(path, output, "limit")

    assert failed.returncode == 1
    assert "StorageError" in failed.stderr
    assert "writing failed" in failed.stderr
    assert output.read_bytes() == b"the old one"
    assert not (tmp_path / ".a.ome.tif.run").exists()


PEAK = """
import sys, tempfile
from pathlib import Path
from tests.fakes import fake_choice, fake_model
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.run import Resources, prepare
from unetctl.runtime.segmentation import segment_run

side = int(sys.argv[1])
resources = Resources(max_memory_bytes=int(sys.argv[2]), threads=1)
run = prepare(VirtualSource(side, side), fake_model(classes=5), fake_choice(bytes_a_pixel=4), resources)
with tempfile.TemporaryDirectory() as folder:
    print(segment_run(run, Path(folder) / "a.ome.tif").peak_memory_bytes)
"""


def peak_bytes(side: int, budget: int) -> int:
    """Segment a virtual image of `side` x `side` in a process of its own and return its peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(side), str(budget)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="NOT RUN: the peak is not known there")
def test_memory_does_not_grow_with_the_image() -> None:
    budget = 256 * MIB
    small, large = peak_bytes(4096, budget), peak_bytes(24576, budget)  # 0.6 gigapixels

    assert large < small + 16 * MIB
    assert max(small, large) < budget
