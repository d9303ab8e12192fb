"""`unetctl doctor`: what this machine can do, what it cannot and why, and the line that changes it."""

from __future__ import annotations

import importlib.util
import platform
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli import output
from unetctl.cli.exit_codes import ExitCode
from unetctl.cli.extras import install_line
from unetctl.cli.version import version
from unetctl.cli.wording import bytes_text, counted

if TYPE_CHECKING:
    from unetctl.runtime.engines import EngineStatus

PARTS = {
    "train": ("torch", "safetensors", "scipy", "skimage", "matplotlib"),
    "export": ("torch", "safetensors", "onnx", "onnxscript"),
}
"""What the commands of an extra import."""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say which engines can run here, and how to get the others.

    Exit code 1 if no engine can run or an installation is broken.
    """
    engines = engine_statuses()
    missing = {part: [one for one in names if not _is_installed(one)] for part, names in PARTS.items()}
    problems = _problems(engines)
    if as_json:
        output.result_json(
            {
                "version": version(),
                **_machine(),
                "engines": [asdict(one) for one in engines],
                "missing": missing,
                "problems": problems,
            }
        )
    else:
        _show(engines, missing, problems)
    if problems:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def engine_statuses() -> tuple[EngineStatus, ...]:
    """Return the state of every engine: the runtime's, and torch, which lives with the trainer."""
    from unetctl.runtime.engines import EngineStatus, engine_status

    if not _is_installed("torch"):
        torch = EngineStatus(
            name="torch", version="", usable=False, why_not="torch is not installed", hint=install_line("train")
        )
    else:
        from unetctl.trainer.engine_torch import status

        torch = status()
    return (*engine_status(), torch)


def _show(engines: tuple[EngineStatus, ...], missing: dict[str, list[str]], problems: list[str]) -> None:
    machine = _machine()
    bf16 = {True: ", with bf16 arithmetic", False: ", without bf16 arithmetic", None: ""}[machine["bf16"]]
    output.heading(f"unetctl {version()}")
    output.pairs(
        [
            ("python", f"{machine['python']}, {sys.executable}"),
            ("system", machine["system"]),
            ("processor", f"{counted(machine['cores'], 'core')}{bf16}"),
            ("memory", f"{bytes_text(machine['free_memory_bytes'])} free"),
        ]
    )
    output.heading("engines")
    output.pairs([(one.name, _engine_text(one)) for one in engines])
    output.heading("commands")
    rows = [("segment", "can run" if any(one.usable for one in engines) else "no engine")]
    for part, names in missing.items():
        rows.append((part, f"needs {', '.join(names)}: {install_line(part)}" if names else "can run"))
    output.pairs(rows)
    for one in problems:
        output.notice(f"problem: {one}")


def _engine_text(engine: EngineStatus) -> str:
    if engine.usable:
        hints = f", in {' or '.join(('fp32', *engine.hints))}" if engine.hints else ""
        return f"can run: {engine.version} on {engine.device}{hints}"
    return f"cannot run: {engine.why_not}; {engine.hint}" if engine.hint else f"cannot run: {engine.why_not}"


def _problems(engines: tuple[EngineStatus, ...]) -> list[str]:
    """List what is broken: an engine that runs with something said against it, as a package that overwrites another."""
    found = [f"{one.name}: {one.why_not}; {one.hint}" for one in engines if one.usable and one.why_not]
    if not any(one.usable for one in engines):
        found.append(f"no engine can run here; {install_line('cpu')}")
    return found


def _machine() -> dict[str, Any]:
    from unetctl.runtime.system import free_memory_bytes, processors

    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": processors(),
        "bf16": has_bf16(),
        "free_memory_bytes": free_memory_bytes(),
    }


def has_bf16() -> bool | None:
    """Tell whether the processor computes in bf16; None where the system does not say."""
    with suppress(OSError):
        flags = set(Path("/proc/cpuinfo").read_text().split())
        return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    return None


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
