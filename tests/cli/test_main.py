"""The border: errors become messages and exit codes, wherever they come from."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Type
from unetctl.cli import doctor as doctor_module
from unetctl.cli import main as main_module
from unetctl.cli.exit_codes import TABLE, ExitCode, exit_code
from unetctl.runtime import errors


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `unetctl doctor` raise `error` from its depths."""

    def raising() -> None:
        raise error

    monkeypatch.setattr(doctor_module, "engine_statuses", raising)


CODES = [
    (errors.CheckFailedError("it differs"), 1),
    (errors.UsageError("it cannot be"), 2),
    (errors.DataError("it is damaged"), 65),
    (errors.MissingInputError("it is not there"), 66),
    (errors.UnavailableError("it is not installed"), 69),
    (ZeroDivisionError("division by zero"), 70),
    (errors.OutputError("it exists"), 73),
    (errors.StorageError("the disk is full"), 74),
    (OSError(28, "No space left on device", "x.tif"), 74),
    (errors.ResourceError("too small"), 75),
    (MemoryError(), 75),
    (errors.RefusedError("a pickle"), 77),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=[f"{type(one).__name__}-{code}" for one, code in CODES])
def test_each_kind_of_error_has_its_exit_code(
    unetctl: Type, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    fail_with(monkeypatch, error)
    said = unetctl("doctor")
    assert said.code == code
    assert said.err.startswith("error: ")
    assert said.out == ""
    assert "Traceback" not in said.both
    assert type(error).__name__ not in said.both


def test_every_error_of_the_tree_has_a_code_of_its_own() -> None:
    kinds = errors.UnetctlError.__subclasses__()
    assert len({exit_code(kind("x")) for kind in kinds}) == len(kinds)
    assert ExitCode.BUG not in {code for _, code in TABLE}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_with_one_line(
    unetctl: Type,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    monkeypatch.setattr(doctor_module, "engine_statuses", lambda: signal.raise_signal(number))
    before = signal.getsignal(number)
    said = unetctl("doctor")
    assert said.code == code
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert signal.getsignal(number) is before


def test_an_error_says_what_why_what_is_safe_and_what_to_do(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(
        monkeypatch, errors.DataError("a.tif is damaged", cause="12 bytes", saved="nothing", hint="copy it again")
    )
    assert unetctl("doctor").err == (
        "error: a.tif is damaged\n  cause: 12 bytes\n  saved: nothing\n  try:   copy it again\n"
    )


def test_errors_are_json_for_scripts(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(
        monkeypatch, errors.DataError("a.tif is damaged", cause="12 bytes", saved="nothing", hint="copy it again")
    )
    said = unetctl("doctor", "--json")
    assert said.out == ""
    assert json.loads(said.err) == {
        "code": 65,
        "what": "a.tif is damaged",
        "cause": "12 bytes",
        "saved": "nothing",
        "hint": "copy it again",
    }


def test_usage_errors_are_json_too(unetctl: Type) -> None:
    said = unetctl("doctor", "--json", "--colour")
    assert said.code == 2
    assert json.loads(said.err)["what"] == "there is no option --colour"


def test_a_traceback_is_shown_only_on_request(unetctl: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, errors.DataError("a.tif is damaged"))
    assert "Traceback" not in unetctl("doctor").both
    assert "Traceback" in unetctl("doctor", "--debug").err
    assert "Traceback" in unetctl("--debug", "doctor").err


def test_a_bug_leaves_a_report(unetctl: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    said = unetctl("doctor")
    (report,) = (tmp_path / "state" / "unetctl").glob("crash-*.txt")
    assert str(report) in said.err
    text = report.read_text()
    assert "ZeroDivisionError: division by zero" in text
    assert "command: unetctl doctor" in text


def test_a_bug_is_told_even_where_nothing_can_be_written(
    unetctl: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr(main_module.crash, "_temporary_folder", lambda: blocked)
    fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    said = unetctl("doctor")
    assert said.code == 70
    assert "--debug" in said.err


@pytest.mark.parametrize(
    ("typed", "meant"), [("--ouput", "--output"), ("--overwite", "--overwrite"), ("--max-mem", "--max-memory")]
)
def test_a_misspelt_option_is_answered_with_the_right_one(unetctl: Type, typed: str, meant: str) -> None:
    said = unetctl("segment", typed, "x")
    assert said.code == 2
    assert meant in said.err


def test_a_misspelt_command_is_answered_with_the_right_one(unetctl: Type) -> None:
    said = unetctl("segmnt", "x.tif")
    assert said.code == 2
    assert "segment" in said.err


def test_nothing_typed_shows_the_help_and_fails(unetctl: Type) -> None:
    said = unetctl()
    assert said.code == 2
    assert "unetctl init my-project" in said.err


def test_help_lists_every_command_on_a_narrow_terminal(unetctl: Type) -> None:
    said = unetctl("--help")
    assert said.code == 0
    assert all(
        name in said.out for name in ("init", "train", "export", "segment", "inspect", "check", "doctor", "tune")
    )
    assert not [line for line in said.out.splitlines() if line.endswith("...") and "Usage" not in line]
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["init", "train", "export", "segment", "inspect", "check", "doctor"])
def test_each_command_explains_itself(unetctl: Type, command: str) -> None:
    said = unetctl(command, "--help")
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    assert said.out.isascii()


def test_the_version_is_told(unetctl: Type) -> None:
    said = unetctl("--version")
    assert (said.code, said.out.split()[0]) == (0, "unetctl")
