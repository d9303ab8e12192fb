"""Peak memory of images whose pixels are computed and not stored: `python -m benchmarks.virtual_memory`.

The whole road of a pixel, mirrored reading to published pyramid, with an engine that copies instead of computing, so
that ten gigapixels take minutes. Each image is segmented in a process of its own, all with the same budget.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fakes import fake_choice, fake_model
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.run import Resources, prepare
from unetctl.runtime.segmentation import segment_run
from unetctl.runtime.system import processors

SIDES_PX = (4096, 16384, 102_400)
BUDGET_BYTES = 512 << 20


def measure(side_px: int) -> str:
    """Segment one virtual image and return a row of the table."""
    resources = Resources(max_memory_bytes=BUDGET_BYTES, threads=processors())
    engine = fake_choice(bytes_a_pixel=4)
    run = prepare(VirtualSource(side_px, side_px), fake_model(classes=5), engine, resources)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="unetctl-virtual-") as folder:
        report = segment_run(run, Path(folder) / "virtual.labels.ome.tif")
    seconds = time.perf_counter() - begun
    peak = report.peak_memory_bytes / 1e6
    return f"| {side_px} x {side_px} | {side_px**2 / 1e9:.2f} | {report.tiles} | {peak:.0f} | {seconds:.0f} |"


def main() -> None:
    """Print the table; with a size on the command line, that row alone."""
    if len(sys.argv) == 2:
        print(measure(int(sys.argv[1])))
        return
    print(f"Peak memory with a budget of {BUDGET_BYTES / 1e6:.0f} MB, an engine that copies:\n")
    print("| image | gigapixels | tiles | peak, MB | seconds |")
    print("|---|---|---|---|---|", flush=True)
    for side_px in SIDES_PX:
        command = [sys.executable, "-m", "benchmarks.virtual_memory", str(side_px)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
