"""Figures and names as people read them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from unetctl.cli import wording
from unetctl.cli.quantity import check_count, parse_bytes, parse_channels, parse_names
from unetctl.runtime.errors import UsageError


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1.3e9, "1.21 GiB"), (2**32, "4.00 GiB"), (2**50, "1024 TiB")],
)
def test_sizes(count: float, text: str) -> None:
    assert wording.bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "0 s"),
        (0.42, "0.42 s"),
        (9.96, "10 s"),
        (17.2, "17 s"),
        (59.7, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert wording.seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1, "100 %"), (0.5, "50.0 %"), (1e-9, "under 0.1 %"), (1 - 1e-9, "over 99.9 %")]
)
def test_a_little_is_not_called_nothing(share: float, text: str) -> None:
    assert wording.percent_text(share) == text


def test_pixels() -> None:
    assert [wording.pixels_text(one) for one in (1, 999, 67_108_864, 1e11)] == ["1 px", "999 px", "67.1 Mpx", "100 Gpx"]


def test_a_name_cannot_move_the_cursor() -> None:
    assert wording.path_text("a\x1b[2Jb\nc.tif") == r"a\x1b[2Jb\nc.tif"


@pytest.mark.parametrize("name", ["a b.tif", "it's.tif", 'a"b.tif', "\U0001f52c.tif", "$HOME.tif", "*.tif"])
def test_a_command_can_be_pasted_whatever_the_name(name: str) -> None:
    assert shlex.split(wording.command_text("unetctl", "segment", Path(name)))[2] == name


def test_a_leading_dash_is_no_option() -> None:
    assert wording.command_text("unetctl", "inspect", Path("-x.tif")) == "unetctl inspect ./-x.tif"


def test_paths_are_short_inside_the_folder_and_whole_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert wording.path_text(tmp_path / "a" / "b.tif") == "a/b.tif"
    assert wording.path_text(tmp_path.parent / "b.tif") == str(tmp_path.parent / "b.tif")


@pytest.mark.parametrize("text", ["4GiB", "4g", "4 GB", "4096M", "4.0 gib"])
def test_memory_is_read_in_any_usual_form(text: str) -> None:
    assert parse_bytes(text, option="--max-memory") == 4 << 30


@pytest.mark.parametrize("text", ["", "4", "-1GiB", "0G", "GiB", "nan G", "4 PiB", "1e9G", "9" * 40 + "T", "512x"])
def test_what_is_no_size_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-memory"):
        parse_bytes(text, option="--max-memory")


def test_channels_are_counted_from_one() -> None:
    assert parse_channels("3, 1,2", option="--channels") == (2, 0, 1)
    for text in ("0", "", "1,", "a", "-1", "1;2"):
        with pytest.raises(UsageError, match="--channels"):
            parse_channels(text, option="--channels")


def test_names_are_known_and_given_once() -> None:
    known = ("labels", "probabilities")
    assert parse_names("labels, probabilities", known, option="--outputs") == known
    for text in ("", "label", "labels,labels"):
        with pytest.raises(UsageError, match="--outputs"):
            parse_names(text, known, option="--outputs")


def test_counts_have_a_least() -> None:
    check_count(None, 1, option="--threads")
    check_count(1, 1, option="--threads")
    for value in (0, -1, 2**31):
        with pytest.raises(UsageError, match="--threads"):
            check_count(value, 1, option="--threads")
