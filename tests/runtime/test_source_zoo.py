"""Every file of other projects' test suites, even those made to crash or hang, gives its pixels or an error of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.data import ROOT, needed
from tests.runtime.reading import pattern

pytest.importorskip("resource", reason="NOT RUN: this system cannot limit the memory of a process")


EXPLAINED = {"subsubifds.tif": "tifffile takes pages below other pages (SubIFDs) for planes"}
"""Where the pixels differ from tifffile's on purpose."""


def run_reader(*arguments: str | Path) -> list[dict[str, Any]]:
    """Read in a child of 4 GiB; a crash or a hang of more than 5 s fails and names the file."""
    command = [sys.executable, "-m", "tests.runtime.zoo_reader", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} ended the reader with {done.returncode}: {done.stderr[-2000:]}"
    return [line for line in lines if "outcome" in line]


def assert_harmless(lines: list[dict[str, Any]]) -> Counter[str]:
    counts = Counter(line["outcome"] for line in lines)
    print(dict(counts))
    assert not [line for line in lines if line["outcome"] == "foreign"]
    assert not [line for line in lines if line["outcome"] == "different" and Path(line["file"]).name not in EXPLAINED]
    for line in lines:
        assert line["outcome"] != "refused" or len(line["detail"].splitlines()) <= 6
    return counts


def test_tiff_zoo_is_read_as_tifffile_reads_it_or_refused() -> None:
    folder = needed("tiff-zoo")
    status = [line.split("\t") for line in (folder / "STATUS.tsv").read_text().splitlines()[1:]]
    unreadable = {row[0] for row in status if len(row) < 6 or row[5] != "ok"}
    lines = run_reader(folder)
    counts = assert_harmless(lines)
    assert counts["equal"] >= 140, "far fewer files were read than when this was written"
    for line in lines:
        name = str(Path(line["file"]).relative_to(folder))
        if line["outcome"] in ("equal", "read") and line["file"].endswith((".tif", ".tiff")):
            assert name not in unreadable, "tifffile failed on it, so these pixels are invented"


def test_slides_and_bio_formats_are_read_as_tifffile_reads_them_or_refused() -> None:
    counts = assert_harmless(run_reader(needed("wsi-and-bioformats")))
    assert counts["equal"] >= 13


def test_mutated_files_never_crash_hang_or_raise_what_is_not_ours(tmp_path: Path) -> None:
    seeds, scratch = tmp_path / "seeds", tmp_path / "scratch"
    seeds.mkdir()
    scratch.mkdir()
    gray, colour = pattern(96, 80), np.ascontiguousarray(pattern(3, 96, 80).transpose(1, 2, 0))
    tifffile.imwrite(seeds / "a.tif", gray, tile=(32, 32), compression="zlib")
    tifffile.imwrite(seeds / "b.ome.tif", pattern(2, 3, 40, 50), compression="lzw", metadata={"axes": "TCYX"})
    tifffile.imwrite(seeds / "c.tif", colour, photometric="rgb", compression="jpeg", rowsperstrip=16)
    tifffile.imwrite(seeds / "d.tif", pattern(4, 40, 50), imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(seeds / "e.tif", gray, bigtiff=True, byteorder=">", predictor=True, compression="zstd")
    (seeds / "f.png").write_bytes(imagecodecs.png_encode(colour))
    (seeds / "g.jpg").write_bytes(imagecodecs.jpeg8_encode(colour))
    counts = assert_harmless(run_reader(seeds, scratch, "1500"))
    assert counts["read"] >= 100, "the mutations leave nothing to read, so they test little"
    assert counts["refused"] >= 500, "the mutations change nothing that is checked, so they test little"
