"""What `unetctl tune` shows: what was tried, what was chosen, and what is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unetctl.cli import output
from unetctl.cli.wording import bytes_text, counted, safe_text, size_text, time_text

if TYPE_CHECKING:
    from unetctl.runtime.tuning import Setting
    from unetctl.runtime.tuning_record import Tuning, TuningKey
    from unetctl.runtime.tuning_run import TuningResult

HEADERS = ("kept px", "batch", "threads", "slots", "engine", "Mpx/s", "ratio", "memory")


def show(result: TuningResult, tuning: Tuning, *, budget_bytes: int) -> None:
    """Print a line for each setting, what was chosen, and what it gains."""
    outcome = result.outcome
    output.heading(f"{counted(len(outcome.trials) + 1, 'setting')}, each against the best so far, in pairs")
    rows = [_row(result, outcome.default, outcome.default_mpx_per_second, 1.0)]
    rows += [_row(result, one.setting, one.mpx_per_second, one.ratio) for one in outcome.trials]
    output.table(HEADERS, rows)
    for one in outcome.trials:
        if one.why_not:
            output.notice(f"could not run: {setting_text(one.setting)}: {safe_text(one.why_not)}")
    output.result()
    output.pairs(
        [
            ("default", f"{setting_text(outcome.default)}: {outcome.default_mpx_per_second:.2f} Mpx/s"),
            ("best", _best_text(result)),
            ("threads", _streams_text(result)),
            ("image", f"{size_text(tuning.image_yx)}, within {bytes_text(budget_bytes)}"),
        ]
    )
    if not outcome.is_complete:
        output.notice("the time was over before all was tried, or the best failed in the end: more --minutes try more")


def show_list(found: Sequence[Tuning], *, here: tuple[str, int]) -> None:
    """Print what is remembered; `here` are the processor and the processors of this machine."""
    output.heading(f"{counted(len(found), 'model')} tuned" if found else "nothing is remembered: unetctl tune")
    for one in found:
        elsewhere = "" if (one.key.processor, one.key.processors) == here else ", on another machine"
        output.pairs(
            [
                ("model", safe_text(f"{one.model}, {one.key.model_sha256[:12]}")),
                ("tuned", f"{time_text(one.created)}{elsewhere}, within {bytes_text(one.max_memory_bytes)}"),
                ("asked for", _asked_text(one.key)),
                ("best", f"{setting_text(one.setting)}: {_gain_text(one.gain, one.mpx_per_second)}"),
            ]
        )


def _asked_text(key: TuningKey) -> str:
    options = (("--engine", key.engine), ("--precision", key.precision))
    return safe_text(" ".join(f"{option} {typed}" for option, typed in options if typed != "auto"))


def facts(result: TuningResult) -> dict[str, Any]:
    """Return what was tried, as plain values for `--json`."""
    outcome = result.outcome

    def described(setting: Setting) -> dict[str, Any]:
        return {**asdict(setting), **asdict(result.tried[setting])}

    return {
        "default": described(outcome.default) | {"mpx_per_second": outcome.default_mpx_per_second},
        "best": described(outcome.best) | {"mpx_per_second": outcome.mpx_per_second},
        "gain": outcome.gain,
        "complete": outcome.is_complete,
        "trials": [{**asdict(one), "setting": described(one.setting)} for one in outcome.trials],
    }


def setting_text(setting: Setting) -> str:
    """Say a setting in words."""
    tiles = setting.tiles
    parts = [
        f"{setting.engine} in {setting.precision}",
        f"tiles of {size_text(tiles.tile_yx)}" if tiles.tile_yx else "the largest tiles",
        f"{tiles.batch} at a time" if tiles.batch > 1 else "",
        counted(setting.threads, "thread"),
        f"in {tiles.streams} streams" if tiles.streams > 1 else "",
        counted(tiles.slots, "slot"),
    ]
    return ", ".join(one for one in parts if one)


def _row(result: TuningResult, setting: Setting, rate: float, ratio: float) -> list[str]:
    tried, tiles = result.tried[setting], setting.tiles
    height, width = tried.largest_yx
    streams = f" in {tiles.streams}" if tiles.streams > 1 else ""
    return [
        f"{width}x{height}",
        str(tiles.batch),
        f"{setting.threads}{streams}",
        str(tiles.slots),
        f"{setting.engine} {setting.precision}",
        f"{rate:.3g}" if rate else "-",
        f"{ratio:.2f}" if ratio else "-",
        bytes_text(tried.peak_bytes) if tried.peak_bytes else "-",
    ]


def _streams_text(result: TuningResult) -> str:
    """Explain what the table says in few signs, if it says it."""
    if all(one.tiles.streams == 1 for one in result.tried):
        return ""
    return "2 in 2 are 2 threads in 2 streams, which compute batches side by side"


def _best_text(result: TuningResult) -> str:
    outcome = result.outcome
    if outcome.best == outcome.default:
        return "the default: nothing was clearly faster"
    rate = _gain_text(outcome.gain, outcome.mpx_per_second)
    return f"{setting_text(outcome.best)}: {rate}, measured once more at the end"


def _gain_text(gain: float, rate: float) -> str:
    return f"{rate:.2f} Mpx/s, {gain:.2f} times the default" if gain != 1 else f"{rate:.2f} Mpx/s, the default"
