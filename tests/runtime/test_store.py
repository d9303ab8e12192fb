"""The chunk store: what is put comes back, and what the disk changed does not."""

import errno
from pathlib import Path

import pytest

from unetctl.runtime.chunks import ChunkGrid, ChunkKey
from unetctl.runtime.errors import DataError, OutputError, StorageError
from unetctl.runtime.journal import RECORD_BYTES
from unetctl.runtime.store import ChunkStore, translated_disk_errors

GRID = ChunkGrid(planes=2, image_yx=(1300, 700))


def test_a_grid_halves_until_one_chunk_holds_the_level() -> None:
    assert GRID.level_shapes == ((1300, 700), (650, 350), (325, 175))
    assert [GRID.rows_columns(level) for level in range(3)] == [(3, 2), (2, 1), (1, 1)]
    assert GRID.first_indices() == (0, 6, 8, 9)


def test_every_chunk_comes_back_as_it_was_put(tmp_path: Path) -> None:
    keys = [key for plane in range(2) for level in range(3) for key in GRID.keys(plane, level)]
    with ChunkStore(tmp_path, GRID) as store:
        for number, key in enumerate(keys):
            store.put(key, bytes([number]) * (number + 1))

        assert [store.get(key) for key in keys] == [bytes([n]) * (n + 1) for n in range(len(keys))]
        assert store.size_bytes == (tmp_path / "chunks.bin").stat().st_size
    assert (tmp_path / "journal.bin").stat().st_size == len(keys) * RECORD_BYTES


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    with ChunkStore(tmp_path, GRID) as store:
        store.put(ChunkKey(0, 0, 0, 0), b"labels")
        with (tmp_path / "chunks.bin").open("rb+") as file:
            file.write(b"m")

        with pytest.raises(DataError, match="not what was written"):
            store.get(ChunkKey(0, 0, 0, 0))


def test_a_second_writer_of_a_chunk_is_refused(tmp_path: Path) -> None:
    with ChunkStore(tmp_path, GRID) as store:
        store.put(ChunkKey(1, 0, 2, 1), b"first")
        with pytest.raises(ValueError, match="two writers"):
            store.put(ChunkKey(1, 0, 2, 1), b"second")
        with pytest.raises(ValueError, match="never written"):
            store.get(ChunkKey(1, 0, 2, 0))


def test_a_full_disk_is_named_and_what_is_safe_too(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="ours already"), translated_disk_errors(tmp_path):
        raise OutputError("ours already")
    with pytest.raises(StorageError, match="the disk is full") as caught, translated_disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert "nothing at the output's path" in str(caught.value)
    assert "--output" in str(caught.value)
