from __future__ import annotations

import pytest

from unetctl.runtime.errors import UsageError
from unetctl.trainer.settings import DataConfig
from unetctl.trainer.split import split_pairs

TEN = [f"s{index}" for index in range(10)]


def test_a_fraction_takes_the_last_part() -> None:
    parts = split_pairs(TEN, DataConfig(validation=0.2))
    assert parts.validation == (8, 9)
    assert parts.train == tuple(range(8))
    assert parts.test == ()


def test_the_test_part_comes_from_the_very_end() -> None:
    parts = split_pairs(TEN, DataConfig(validation=0.2, test=0.3))
    assert parts.train, parts.validation == ((0, 1, 2, 3, 4), (5, 6))
    assert parts.test == (7, 8, 9)


def test_a_small_fraction_takes_one() -> None:
    assert split_pairs(TEN[:2], DataConfig(validation=0.01)).validation == (1,)


def test_lists_take_indices_ranges_and_patterns() -> None:
    settings = DataConfig(train=("0-4",), validation=("5", "7-7"), test=("s[89]",))
    parts = split_pairs(TEN, settings)
    assert (parts.train, parts.validation, parts.test) == ((0, 1, 2, 3, 4), (5, 7), (8, 9))


def test_the_rest_is_trained_on() -> None:
    assert split_pairs(TEN, DataConfig(validation=("0-1",), test=("9",))).train == (2, 3, 4, 5, 6, 7, 8)
    assert split_pairs(TEN, DataConfig(validation=0.1, test=("9",))).validation == (8,)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (DataConfig(validation=("5-12",)), ["validation", "5-12", "0 to 9"]),
        (DataConfig(validation=("t*",)), ["validation", "t\\*", "s0"]),
        (DataConfig(validation=("5",), test=("4-6",)), ["validation and test", "s5"]),
        (DataConfig(train=("s*",), validation=("5",)), ["train and validation", "s5"]),
        (DataConfig(validation=0.0), ["validation", "no pair"]),
        (DataConfig(validation=("0-9",)), ["train", "no pair"]),
    ],
)
def test_a_split_that_cannot_be_is_refused(settings: DataConfig, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        split_pairs(TEN, settings)
    for word in words:
        assert word.replace("\\", "") in str(caught.value)


def test_one_pair_is_too_few() -> None:
    with pytest.raises(UsageError, match="no pair is left to train on"):
        split_pairs(["only"], DataConfig())
