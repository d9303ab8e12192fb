"""The nuclei's fields of view and their split: what is one field is found, and never stands on two sides."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.demo_nuclei import render, throw_nuclei
from benchmarks.nuclei import source, split
from benchmarks.nuclei.fields import fields_of
from benchmarks.nuclei.overlaps import Overlap, find_overlaps
from benchmarks.nuclei.seams import Seam, find_seams
from benchmarks.nuclei.split import Entry, deal, read_split
from tests.data import needed

Gray = NDArray[np.uint8]


@pytest.fixture(scope="module")
def exposure() -> Gray:
    """A field of view that was never cut."""
    return render(throw_nuclei(640, seed=3), 640, seed=3)[0]


@pytest.fixture(scope="module")
def strangers() -> dict[str, Gray]:
    """Images of other fields, made in the same way."""
    return {f"other {seed}": render(throw_nuclei(240, seed), 240, seed)[0] for seed in (11, 12, 13, 14)}


def test_tiles_of_one_exposure_are_found_and_in_their_order(exposure: Gray, strangers: dict[str, Gray]) -> None:
    tiles = {
        "top left": exposure[:240, :240],
        "top right": exposure[:240, 240:480],
        "below": exposure[240:480, :240],
    }
    found = {(one.first, one.second, one.below) for one in find_seams(tiles | strangers)}
    assert found == {("top left", "top right", False), ("top left", "below", True)}


@pytest.mark.parametrize("gap_px", [6, 40])
def test_tiles_with_a_gap_between_them_make_no_seam(exposure: Gray, gap_px: int) -> None:
    assert not find_seams({"left": exposure[:240, :240], "right": exposure[:240, 240 + gap_px : 480 + gap_px]})


def test_borders_of_background_alone_are_no_evidence() -> None:
    draw = np.random.default_rng(0)
    empty = {f"{index}": draw.poisson(12, (200, 200)).astype(np.uint8) for index in range(6)}
    flat = {"black": np.zeros((200, 200), np.uint8), "black too": np.zeros((200, 200), np.uint8)}
    assert not find_seams(empty)
    assert not find_seams(flat)
    assert not find_overlaps(empty)
    assert not find_overlaps(flat)


@pytest.mark.parametrize(("move_yx", "gain"), [((0, 0), 1.0), ((0, 0), 0.6), ((37, 51), 1.0), ((90, 101), 1.0)])
def test_an_image_that_is_another_one_moved_or_taken_again_is_found(
    exposure: Gray, strangers: dict[str, Gray], move_yx: tuple[int, int], gain: float
) -> None:
    y, x = move_yx
    again = np.rint(gain * exposure[y : y + 240, x : x + 240]).astype(np.uint8)
    found = find_overlaps({"first": exposure[:240, :240], "again": again} | strangers)
    assert [(one.first, one.second) for one in found] == [("first", "again")]


def test_linked_images_are_one_field_also_through_others() -> None:
    links = [
        Overlap(first="e", second="b", correlation=1),
        Seam(first="c", second="b", below=False, step=1, correlation=1),
        Seam(first="d", second="a", below=True, step=1, correlation=1),
    ]
    assert fields_of("abcdef", links) == {"a": "a", "b": "b", "c": "b", "d": "a", "e": "b", "f": "f"}


def test_a_field_is_never_dealt_to_two_parts() -> None:
    fields = {f"{index:03}": f"{index // 3 * 3:03}" for index in range(90)}
    entries = deal(dict.fromkeys(fields, "256x256"), fields)
    assert len(entries) == 90
    assert not crossing(entries)
    counts = [sum(one.part == part for one in entries) for part in ("train", "validation", "test")]
    assert counts == [57, 15, 18]


def test_sizes_of_few_images_are_trained_on() -> None:
    names = [f"{index}" for index in range(4)]
    assert {one.part for one in deal(dict.fromkeys(names, "9x9"), dict(zip(names, names, strict=True)))} == {"train"}


def crossing(entries: list[Entry]) -> set[str]:
    """Return the fields that stand on two sides."""
    sides = {(one.field, one.part) for one in entries}
    return {field for field, _ in sides if sum(field == other for other, _ in sides) > 1}


def test_a_seeded_crossing_is_caught() -> None:
    one = Entry(name="a", size="9x9", field="a", part="train")
    assert crossing([one, Entry(name="b", size="9x9", field="a", part="test")]) == {"a"}
    assert crossing([one, Entry(name="b", size="9x9", field="a", part="train")]) == set()


def test_no_field_crosses_the_committed_split() -> None:
    entries = read_split()
    assert not crossing(entries)
    assert {one.part for one in entries} == {"train", "validation", "test"}
    assert all(first.name < second.name for first, second in pairwise(entries))


def test_the_committed_split_follows_from_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed(source.NAME)
    monkeypatch.setattr(split, "TABLE", tmp_path / "split.tsv")
    monkeypatch.setattr("sys.argv", ["split"])
    committed = Path(split.__file__).with_name("split.tsv").read_text("utf-8")
    split.main()
    assert (tmp_path / "split.tsv").read_text("utf-8") == committed


def test_only_gray_and_opaque_images_are_taken() -> None:
    gray = np.full((4, 5, 4), 255, np.uint8)
    gray[..., :3] = np.arange(20, dtype=np.uint8).reshape(4, 5, 1)
    assert np.array_equal(source.to_gray(gray, "a"), np.arange(20).reshape(4, 5))
    assert np.array_equal(source.to_gray(gray[..., :3], "a"), np.arange(20).reshape(4, 5))
    coloured, transparent = gray.copy(), gray.copy()
    coloured[2, 3, 1] += 1
    transparent[0, 0, 3] = 254
    for wrong in (coloured, transparent, gray[..., 0], gray.astype(np.uint16)):
        with pytest.raises(ValueError, match="a: "):
            source.to_gray(wrong, "a")
