"""Golden tiles: what travels comes back, damage is named, and labels are compared as the truth allows."""

from __future__ import annotations

import base64
import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetctl.runtime.errors import DataError
from unetctl.runtime.golden import GoldenTile, combine, compare_labels, pack_golden, unpack_golden


def tile(seed: int = 0, dtype: str = "uint8") -> GoldenTile:
    draw = np.random.default_rng(seed)
    return GoldenTile(
        image=draw.integers(0, 200, size=(2, 9, 8)).astype(dtype),
        shift=np.array([1.5, 2], dtype=np.float32),
        scale=np.array([0.1, 0.2], dtype=np.float32),
        logits=draw.normal(size=(3, 5, 4)).astype(np.float32),
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_packed_tiles_come_back_bit_for_bit(dtype: str) -> None:
    tiles = [tile(seed, dtype) for seed in range(3)]
    found = unpack_golden(pack_golden(tiles), source="a test")
    assert len(found) == 3
    for before, after in zip(tiles, found, strict=True):
        for name in ("image", "shift", "scale", "logits"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name), strict=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": np.zeros((2, 9, 8), np.float32)}, "float32"),
        ({"image": np.zeros((9, 8), np.uint8)}, r"\(9, 8\)"),
        ({"shift": np.zeros(1, np.float32)}, "2 channels and normalisation for 1"),
        ({"scale": np.array([np.inf, 1], np.float32)}, "NaN"),
        ({"logits": np.full((3, 5, 4), np.nan, np.float32)}, "NaN"),
        ({"logits": np.zeros((3, 5, 4), np.float64)}, "float64"),
    ],
)
def test_tiles_that_cannot_be_are_refused(change: dict[str, np.ndarray], told: str) -> None:
    good = tile()
    values = {name: getattr(good, name) for name in ("image", "shift", "scale", "logits")} | change
    with pytest.raises(DataError, match=told):
        raise_for(GoldenTile(**values))


def raise_for(bad: GoldenTile) -> None:
    unpack_golden(pack_golden([bad]), source="a test")


def test_no_tiles_are_refused() -> None:
    with pytest.raises(DataError, match="no golden tiles"):
        unpack_golden(pack_golden([]), source="a test")


def test_a_pickle_among_the_arrays_is_not_opened() -> None:
    file = io.BytesIO()
    np.savez(file, **{"0.image": np.array([print], dtype=object)})
    with pytest.raises(DataError):
        unpack_golden(base64.b64encode(file.getvalue()), source="a test")


def test_a_decompression_bomb_is_not_unpacked() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, **{"0.image": np.zeros(300_000_000, np.uint8)})
    with pytest.raises(DataError, match="more than"):
        unpack_golden(base64.b64encode(file.getvalue()), source="a test")


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.integers(0, 40))
def test_damage_gives_a_data_error_or_nothing_worse(at: int, bit: int, cut: int) -> None:
    packed = bytearray(base64.b64decode(pack_golden([tile()])))
    packed[at % len(packed)] ^= 1 << bit
    with suppress(DataError):
        unpack_golden(base64.b64encode(bytes(packed[: len(packed) - cut])), source="a test")


def test_labels_of_the_golden_logits_agree() -> None:
    golden = tile()
    found = compare_labels(golden.logits.argmax(axis=0).astype(np.uint8), golden.logits, 0.0)
    assert found.passed
    assert (found.pixels, found.flips, found.largest_margin) == (20, 0, 0.0)


def test_a_flip_within_the_tolerance_is_counted_and_passes() -> None:
    logits = np.zeros((2, 4, 4), np.float32)
    logits[1] += 0.01
    labels = np.ones((4, 4), np.uint8)
    labels[1, 2] = 0
    found = compare_labels(labels, logits, 0.02)
    assert (found.flips, found.flips_beyond, found.passed) == (1, 0, True)
    assert found.largest_margin == pytest.approx(0.01)


def test_one_flip_beyond_the_tolerance_fails() -> None:
    logits = np.zeros((3, 4, 4), np.float32)
    logits[1] += 0.01
    labels = np.ones((4, 4), np.uint8)
    labels[1, 2] = 2
    found = compare_labels(labels, logits, 0.005)
    assert (found.flips, found.flips_beyond, found.passed) == (1, 1, False)


def test_a_label_that_is_no_class_fails_and_is_no_flip() -> None:
    golden = tile()
    labels = golden.logits.argmax(axis=0).astype(np.uint8)
    labels[0, 0] = 255
    found = compare_labels(labels, golden.logits, 100.0)
    assert (found.invalid, found.flips, found.passed) == (1, 0, False)


def test_labels_of_another_size_are_an_error_and_not_a_comparison() -> None:
    with pytest.raises(DataError, match="px"):
        compare_labels(np.zeros((4, 4), np.uint8), tile().logits, 1.0)


def test_agreements_add_up() -> None:
    golden = tile()
    labels = golden.logits.argmax(axis=0).astype(np.uint8)
    wrong = (labels + 1) % 3
    both = combine([compare_labels(labels, golden.logits, 0.0), compare_labels(wrong, golden.logits, 0.0)])
    assert (both.pixels, both.flips, both.flips_beyond) == (40, 20, 20)
    assert both.largest_margin > 0
