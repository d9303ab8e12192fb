"""The entry point: wires the commands, and is the one border where errors become messages and exit codes."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from unetctl.cli import crash, output
from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.cli.signals import stop_requests
from unetctl.cli.usage import as_usage_error, is_click_error
from unetctl.cli.version import version
from unetctl.runtime.errors import ResourceError, StorageError, UnetctlError

COMMANDS = ("init", "train", "evaluate", "export", "segment", "inspect", "check", "doctor", "tune")
"""Modules of this folder, with a function of the same name in each, in the order of the help."""


def unetctl(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from. May stand anywhere.")] = False,
) -> None:
    """Train a U-Net on a few annotated images, and segment images of any size.

    \b
    unetctl init my-project        a folder for images, labels and settings
    unetctl train                  annotated images -> a trained network
    unetctl evaluate               how good it is, with a page of pictures
    unetctl export                 the network -> an ONNX model, checked
    unetctl segment slide.tif      an image of any size -> a label image
    unetctl tune                   the fastest way to do that on this machine
    """  # noqa: D301  (\b keeps Click from joining the lines)
    del debug  # taken out of the arguments by `run`, and here for --help
    if show_version:
        output.result(f"unetctl {version()}")
    elif context.invoked_subcommand is None:
        output.notice(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def application(words: Sequence[str]) -> typer.Typer:
    """Return the command line with the command that `words` name, or with all; the others take 40 ms to import."""
    app = typer.Typer(
        name="unetctl",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(unetctl)
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        app.command()(getattr(import_module(f"unetctl.cli.{name}"), name))
    return app


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    # Read once, when torch is imported. OpenMP's threads spin while they wait, and beside another busy program training
    # takes 18 times as long (2.37 s a step instead of 0.13 on two cores); when they sleep, 0.33 s, and alone 0.15 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # OpenVINO imports its converter, of which nothing is used here: 70 ms, and a module that reports to its maker.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    code = run(sys.argv[1:])
    output.let_go_of_results()
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    atexit._run_exitfuncs()  # what libraries tidy up, as temporary folders
    # All is written. To give every block of the libraries back takes 0.1 s, and PyTorch's threads for talking to other
    # processes were seen to abort one at its end (once, "terminate called without an active exception").
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error has been shown."""
    output.prepare_streams()
    own, paths = _split_at_dashes(arguments)
    debug, as_json = "--debug" in own, "--json" in own
    words = [one for one in own if one != "--debug"] + paths
    with stop_requests() as stop:
        try:
            command = typer.main.get_command(application(words))
            code = command.main(args=words, prog_name="unetctl", standalone_mode=False)
            return stop.code or int(code or 0)
        except BaseException as error:
            if stop.code is not None:
                return stop.code
            if isinstance(error, SystemExit):
                return error.code if isinstance(error.code, int) else ExitCode.CHECK_FAILED
            if debug:
                traceback.print_exception(error)
            return _shown(error, arguments, as_json=as_json)


def _shown(error: BaseException, arguments: Sequence[str], *, as_json: bool) -> int:
    """Show an error and return its exit code."""
    if is_click_error(error):
        error = as_usage_error(error)
    elif isinstance(error, MemoryError) and not isinstance(error, UnetctlError):
        error = ResourceError(
            "the memory is used up",
            cause=str(error),
            saved=output.saved_text(error),
            hint="a smaller --max-memory, or fewer programs",
        )
    elif isinstance(error, OSError) and not isinstance(error, UnetctlError):
        full = error.errno == errno.ENOSPC
        error = StorageError(
            f"{'the disk is full' if full else 'reading or writing failed'}: {error.filename or 'a file'}",
            cause=error.strerror or str(error),
            saved=output.saved_text(error),
            hint="make room, and type the command again" if full else "",
        )
    if isinstance(error, UnetctlError):
        output.show_error(error, as_json=as_json)
    else:
        report = crash.write_report(error, arguments)
        output.show_bug(error, report, as_json=as_json, saved=output.saved_text(error))
    return exit_code(error)


def _split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split where `--` says that only paths follow."""
    listed = list(arguments)
    end = listed.index("--") if "--" in listed else len(listed)
    return listed[:end], listed[end:]
