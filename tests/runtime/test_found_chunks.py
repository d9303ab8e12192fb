"""Whatever is damaged or missing in a stopped run's folder: a run goes on to the same file, or says that it cannot."""

from __future__ import annotations

import dataclasses
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import fake_model
from tests.runtime import continuing
from tests.runtime.continuing import MIB, Outcome, segment_stack
from unetctl.runtime import continuation
from unetctl.runtime.chunks import ChunkGrid, ChunkKey
from unetctl.runtime.errors import DataError, OutputError
from unetctl.runtime.found_chunks import find_chunks, forget_damaged, forget_parts
from unetctl.runtime.image import open_image
from unetctl.runtime.journal import RECORD_BYTES, Record, pack_record, read_records
from unetctl.runtime.plan import plan_tiles
from unetctl.runtime.run import Resources
from unetctl.runtime.statistics import plane_statistics
from unetctl.runtime.store import ChunkStore

SMALL: dict[str, Any] = {
    "model": fake_model(depth=2, classes=5),
    "resources": Resources(max_memory_bytes=4096 * MIB, threads=1),
    "engine": dataclasses.replace(continuing.fake_choice(), fixed_shapes=lambda _: (continuing.TWO_CHUNKS,)),
    "preview": False,
}
"""Runs of a fraction of a second, for many of them."""


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A run that was stopped when all its tiles were done, and what it gives undisturbed."""

    image: Path
    files: dict[str, bytes]
    undisturbed: Outcome
    tiles: int

    def put_back(self, **changed: bytes | None) -> None:
        """Make the run folder as it was left, but for the files named by their stems."""
        continuing.clean(self.image)
        folder = continuing.folder_of(self.image)
        folder.mkdir()
        for name, content in self.files.items():
            now = changed.get(name.split(".")[0], content)
            if now is not None:
                (folder / name).write_bytes(now)

    def refuse_other_result(self, **changed: bytes | None) -> int:
        """Go on with damaged files; raise unless the result is the undisturbed one. Return the tiles that were used."""
        self.put_back(**changed)
        report = segment_stack(self.image, **SMALL)
        if continuing.outcome(report) != self.undisturbed:
            raise ValueError("another result")
        return report.continued.tiles if report.continued else 0


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    image = continuing.make_image(tmp_path_factory.mktemp("small"), (2, 600, 1300))
    report = segment_stack(image, **SMALL)
    undisturbed = continuing.outcome(report)
    report.output.unlink()
    with continuing.stopped_at("write_ome_tiff"):
        segment_stack(image, **SMALL)
    files = continuing.contents(continuing.folder_of(image))
    return Stopped(image, files, undisturbed, report.tiles)


few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def records_of(stopped: Stopped) -> list[bytes]:
    journal = stopped.files["journal.bin"]
    return [journal[at : at + RECORD_BYTES] for at in range(0, len(journal), RECORD_BYTES)]


@few
@given(st.data())
def test_any_subset_of_chunks_in_any_order_gives_the_same_result(stopped: Stopped, data: st.DataObject) -> None:
    records = records_of(stopped)
    chosen = data.draw(st.lists(st.sampled_from(records), unique=True, max_size=len(records)))
    used = stopped.refuse_other_result(journal=b"".join(chosen))
    assert used <= stopped.tiles
    if len(chosen) == len(records):
        assert used == stopped.tiles


@few
@given(st.sampled_from(["journal", "chunks"]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_flipped_byte_costs_the_tiles_that_it_touches(stopped: Stopped, stem: str, where: float, flip: int) -> None:
    content = bytearray(stopped.files[f"{stem}.bin"])
    content[int(where * len(content))] ^= flip
    assert stopped.refuse_other_result(**{stem: bytes(content)}) >= stopped.tiles - 1


@few
@given(st.sampled_from(["journal", "chunks"]), st.floats(0, 1), st.sampled_from([b"", b"\0" * 5000, b"\xff" * 40]))
def test_what_is_cut_off_or_overwritten_by_rubbish_is_computed_again(
    stopped: Stopped, stem: str, where: float, tail: bytes
) -> None:
    content = stopped.files[f"{stem}.bin"]
    stopped.refuse_other_result(**{stem: content[: int(where * len(content))] + tail})


def test_without_journal_or_data_a_run_begins_anew(stopped: Stopped) -> None:
    assert stopped.refuse_other_result(journal=None) == 0
    assert stopped.refuse_other_result(chunks=None) == 0
    assert stopped.refuse_other_result() == stopped.tiles


def test_chunks_whose_checksums_nobody_compares_are_noticed(stopped: Stopped, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded: the data is taken for what the journal says."""
    content = bytearray(stopped.files["chunks.bin"])
    content[len(content) // 2] ^= 1
    monkeypatch.setattr(continuation, "forget_damaged", lambda *_: None)
    with pytest.raises(DataError, match="is not what was written"):
        stopped.refuse_other_result(chunks=bytes(content))


@pytest.mark.parametrize("change", ["gone", "empty", "no JSON", "another version", "a digit", "a list"])
def test_a_record_that_cannot_be_read_is_refused_until_it_is_discarded(stopped: Stopped, change: str) -> None:
    record = stopped.files["run.json"]
    changed = {
        "gone": None,
        "empty": b"",
        "no JSON": record[:-40],
        "another version": record.replace(b'"format_version": 1', b'"format_version": 2'),
        "a digit": record.replace(b'"threads": 1', b'"threads": 7'),
        "a list": b"[]",
    }[change]
    assert changed != record
    stopped.put_back(run=changed)
    with pytest.raises(OutputError, match=r"cannot be continued[\s\S]*run.json[\s\S]*--restart discards") as caught:
        segment_stack(stopped.image, **SMALL)
    assert not set("'<>{}") & set(caught.value.cause)
    left = continuing.contents(continuing.folder_of(stopped.image))
    assert left == {name: one for name, one in {**stopped.files, "run.json": changed}.items() if one is not None}
    assert continuing.outcome(segment_stack(stopped.image, **SMALL, restart=True)) == stopped.undisturbed


def test_a_folder_of_the_first_version_is_not_continued(stopped: Stopped) -> None:
    stopped.put_back(run=None, journal=b"\1" * 36 * 4)
    with pytest.raises(OutputError, match="as in folders of earlier versions"):
        segment_stack(stopped.image, **SMALL)


def test_statistics_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    image = continuing.make_image(tmp_path)
    with continuing.stopped_at("write_ome_tiff"):
        segment_stack(image)
    path = continuing.folder_of(image) / "run.json"
    record = continuation.read_record(path.parent)
    assert record.statistics is not None
    source = open_image(image)
    measured = tuple(plane_statistics(source, plane) for plane in range(2))
    source.close()
    assert record.statistics == measured
    assert record.statistics[0] != record.statistics[1]
    flipped = path.read_text().replace("0x1.", "0x1.1", 1)
    path.write_text(flipped)
    with pytest.raises(OutputError, match="checksum"):
        continuation.read_record(path.parent)


def test_records_come_back_and_damaged_ones_do_not(tmp_path: Path) -> None:
    records = [Record(ChunkKey(n, 1, n + 1, n + 2), 100 + n, 1 << 40, 0xFFFFFFFF - n, n % 2 == 0) for n in range(9)]
    content = b"".join(map(pack_record, records))
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x10
        (tmp_path / "journal.bin").write_bytes(changed)
        damaged = at // RECORD_BYTES
        assert list(read_records(tmp_path / "journal.bin")) == records[:damaged] + records[damaged + 1 :]


def test_ten_gigapixels_in_two_planes_are_looked_through_in_the_memory_that_was_planned(
    tmp_path: Path,
) -> None:
    grid = ChunkGrid(planes=2, image_yx=(70_000, 70_000))
    keys = [key for plane in range(grid.planes) for key in grid.keys(plane, 0)]
    shuffled = np.random.default_rng(0).permutation(len(keys))
    with (tmp_path / "journal.bin").open("wb") as journal, (tmp_path / "chunks.bin").open("wb") as chunks:
        for place, number in enumerate(shuffled.tolist()):
            data = number.to_bytes(8, "little")
            chunks.write(data)
            journal.write(pack_record(Record(keys[number], 8, 8 * place, zlib.crc32(data), False)))
    tiles = plan_tiles(grid.image_yx, depth=4)
    tracemalloc.start()
    begun = time.process_time()
    places = find_chunks(tmp_path, grid)
    forget_damaged(tmp_path, places)
    forget_parts(places, tiles, 1)
    with ChunkStore(tmp_path, grid, found=places) as store:
        seconds, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert places.tiles_there(tiles) == 2 * len(tiles)
        assert store.size_bytes == 8 * len(keys)
    assert peak < 150 * len(keys)  # BYTES_A_CHUNK of `memory`
    assert seconds < 30  # 3 s where nobody counts allocations
