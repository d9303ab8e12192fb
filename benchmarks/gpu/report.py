"""The report of `benchmarks.gpu`: its rows as JSON, and the tables that a person reads, as Markdown."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.rows import Row
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.tables import aim_lines, file_table, peak_table, right_table, speed_table

ROOT = Path(__file__).resolve().parents[2]
Record = dict[str, Any]


def write_report(folder: Path, record: Record) -> tuple[Path, Path]:
    """Write `gpu-<name of the GPU>.json` and `.md` to a folder, and return both paths."""
    from unetctl.runtime.system import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    settings: Settings = record["settings"]
    name = "rehearsal" if settings.rehearse else gpu_name(record)
    path = folder / f"gpu-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"
    values = {**record, "settings": {key: one for key, one in asdict(settings).items() if key != "scratch"}}
    text = without_own_folders(json.dumps(values, indent=1), settings)
    write_atomically(path.with_suffix(".json"), f"{text}\n".encode())
    write_atomically(path.with_suffix(".md"), f"{report_text(record)}\n".encode())
    return path.with_suffix(".json"), path.with_suffix(".md")


def without_own_folders(text: str, settings: Settings) -> str:
    """Return a text, such as an error, without the folders of one person's machine."""
    for folder, name in ((settings.scratch, "SCRATCH"), (str(ROOT), "."), (str(Path.home()), "~")):
        text = text.replace(folder, name) if len(folder) > 1 else text
    return text


def report_text(record: Record) -> str:
    """Return the whole report as Markdown."""
    rows: list[Row] = record["rows"]
    settings: Settings = record["settings"]
    engines = [row for row in rows if row["name"] == "engine"]
    parts = [
        f"# unetctl on {'a processor, as a rehearsal' if settings.rehearse else gpu_name(record)}",
        "\n".join(_machine_lines(record)),
        "\n".join(f"- {one['engine']} {one['version']} on {one['device']}" for one in engines),
        _section("What the card can do", peak_table(rows)),
        _section("Is it right?", right_table(rows)),
        _section("The aim", "\n".join(aim_lines(rows))),
        _section("The engine alone, on ready tiles", speed_table(rows)),
        _section(f"From file to file, {settings.side_px} x {settings.side_px} px", file_table(rows)),
        _section("Not measured", "\n".join(_missing(rows))),
    ]
    return without_own_folders("\n\n".join(one for one in parts if one), settings)


def is_wrong(row: Row) -> bool:
    """Tell whether a row says that an engine gave a wrong result."""
    return row.get("passed") is False


def gpu_name(record: Record) -> str:
    """Return what the GPU is called, as `nvidia-smi` or an engine says."""
    state = record["machine"]["gpu"]
    if isinstance(state, dict):
        return str(state["gpu"])
    return next((str(row["device"]) for row in record["rows"] if row["name"] == "engine"), "no GPU")


def commit() -> str | None:
    """Return the commit of the checkout, with `+` where files differ from it; None outside of git."""
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return found.stdout.strip() or None


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _machine_lines(record: Record) -> list[str]:
    found, state = record["machine"], record["machine"]["gpu"]
    card = state if isinstance(state, str) else _named(state)
    others = found["other_programs_on_the_gpu"]
    meanwhile = record.get("gpu_meanwhile") or {}
    lines = [
        f"{record['date']}, commit {record['commit']}, {record.get('seconds', 0)} s, `{record['benchmark']}`",
        f"- before: {card}",
        f"- meanwhile: {_named(meanwhile)}",
        f"- other programs on the GPU: {others if isinstance(others, str) else '; '.join(others) or 'none'}",
        f"- {found['processor']}, {found['cores']} cores; {found['platform']}; Python {found['python']}",
        f"- {', '.join(f'{name} {version}' for name, version in record['libraries'].items())}",
    ]
    return [line for line in lines if not line.endswith("meanwhile: ")]


def _named(figures: dict[str, str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())


def _missing(rows: list[Row]) -> list[str]:
    """Return a line for each reason, with all that was not measured for it."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        reason = f"failed: {row['failed']}" if "failed" in row else row.get("left_out")
        if reason:
            about = [str(row[key]) for key in ("engine", "precision", "network", "direction") if row.get(key)]
            about += [size_text(row[key]) for key in ("kept_yx", "asked_stride") if row.get(key)]
            about += [f"batch {row['batch']}"] if row.get("batch", 1) != 1 else []
            by_reason.setdefault(reason, []).append(" ".join([row["name"], *about]))
    return [f"- {reason}: {'; '.join(names)}" for reason, names in by_reason.items()]


def size_text(size: Any) -> str:
    """Return a size of tiles as text: `2048`, or `2048 x 1536`."""
    if isinstance(size, int):
        return str(size)
    return str(size[0]) if size[0] == size[1] else f"{size[0]} x {size[1]}"
