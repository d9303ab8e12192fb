"""The tables of `benchmarks.gpu`, from its rows: a pure function each."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.gpu.rows import Row

AIM, STRETCH = 0.45, 0.60
"""Of the measured 16-bit matrix product, from file to file."""
AIM_OF_BARE = 0.9
SIXTEEN_BITS = ("fp16", "bf16")
ROADS = ("TIFF to TIFF", "memory to TIFF", "memory to nothing")
GIB = 2**30


def peak_table(rows: list[Row]) -> str:
    """Return what products and copies reached."""
    products = [[f"matrix product, {name}", f"{tflops:.4g} TFLOP/s"] for name, tflops in peaks(rows).items()]
    copies = [
        [f"copy {one['direction']}", f"{one['gigabytes_per_second']:.4g} GB/s"]
        for one in done(rows, "gigabytes_per_second")
    ]
    return table(["", "measured"], [*products, *copies])


def right_table(rows: list[Row]) -> str:
    """Return what the correctness runs found, and the tests."""
    found = [one for one in rows if "passed" in one and "engine" in one]
    lines = [
        [
            *(one["name"], one["engine"], one["precision"], "yes" if one["passed"] else "**no**"),
            f"{one['pixels']:,}",
            _right_text(one),
        ]
        for one in found
    ]
    tests = [one for one in rows if "tests_passed" in one]
    text = table(["", "engine", "precision", "right", "pixels", ""], lines)
    for one in tests:
        skipped = "; ".join(f"{count} skipped: {why}" for why, count in one["tests_skipped"].items())
        failed = "; ".join(one["tests_failed"])
        ended = "" if one["finished"] else ", and the time was up before the last"
        text += f"\n\nContract tests: {one['tests_passed']} passed, {len(one['tests_failed'])} failed{ended}"
        text += "".join(f"; {part}" for part in (failed, skipped) if part)
    return text.strip()


def _right_text(row: Row) -> str:
    if "wrong" in row:
        return (
            f"{row['wrong']:,} labels differ; largest sum {row['largest_sum']:,.0f} of {row['limit']:,}; "
            f"a pixel off disturbs {row['disturbed']:.0%}"
        )
    logits = row["logit_difference"]
    by = f"{logits:.2g} of {row['largest_logit']:.3g}" if logits is not None else "not given"
    return (
        f"{row['flips']:,} labels flip, {row['flips_beyond']:,} beyond rounding, largest margin "
        f"{row['largest_margin']:.2g}; logits differ by {by}"
    )


def speed_table(rows: list[Row]) -> str:
    """Return the bare engines and libraries."""
    header = ["", "network", "engine", "precision", "tile keeps", "batch", "Mpx/s", "TFLOP/s", "of the peak", "GiB"]
    lines = [
        [
            *(one["name"], one["network"], one["engine"], one["precision"], _size(one["kept_yx"]), str(one["batch"])),
            *(_range(one), f"{one['tflops']:.4g}", _share(of_peak(one, rows)), _memory(one)),
        ]
        for one in done(rows, "mpx_per_second")
        if one["name"] not in ROADS
    ]
    return table(header, lines)


def file_table(rows: list[Row]) -> str:
    """Return the runs from file to file, with what the stages waited for, in seconds of all their threads."""
    header = [
        *("", "network", "engine", "precision", "tile keeps", "Mpx/s", "TFLOP/s", "of the peak", "of bare"),
        *("network at work", "network waited for tiles", "for writers", "readers for slots", "finish", "GiB"),
    ]
    lines = []
    for one in done(rows, "network_share"):
        stages = {stage["stage"]: stage for stage in one["stages"]}
        waited = [
            stages["network"]["waited_for_input"],
            stages["network"]["waited_for_output"],
            stages["read"]["waited_for_output"],
            stages["finish"]["busy"],
        ]
        lines.append(
            [
                *(one["name"], one["network"], one["engine"], one["precision"], _size(one["kept_yx"])),
                *(f"{one['mpx_per_second']:.4g}", f"{one['tflops']:.4g}", _share(of_peak(one, rows))),
                *(_share(of_bare(one, rows)), _share(one["network_share"])),
                *(f"{seconds:.2f} s" for seconds in waited),
                _memory(one),
            ]
        )
    return table(header, lines)


def aim_lines(rows: list[Row]) -> list[str]:
    """Say how far the best run from file to file is from the aims, for the network that was measured first."""
    runs = [one for one in done(rows, "network_share") if one["name"] == ROADS[0]]
    first = [one for one in runs if one["network"] == runs[0]["network"] and one["precision"] in SIXTEEN_BITS]
    if not first:
        return ["- not measured: no engine ran in 16 bits from file to file"]
    best = _fastest(first)[0]
    about = f"{best['engine']} in {best['precision']}, {best['network']}: {best['mpx_per_second']:.4g} Mpx/s"
    share, compared = of_peak(best, rows), next((one for one in _fastest(first) if of_bare(one, rows)), best)
    bare = of_bare(compared, rows)
    lines = [f"- {about}, file to file"]
    if share is not None:
        reached = next((name for least, name in ((STRETCH, "stretch"), (AIM, "aim")) if share >= least), "not reached")
        lines.append(f"- {share:.1%} of the 16-bit matrix product (aim {AIM:.0%}, stretch {STRETCH:.0%}): {reached}")
    if bare is not None:
        reached = "aim" if bare >= AIM_OF_BARE else "not reached"
        tile = f"tiles that keep {_size(compared['kept_yx'])} px"
        lines.append(f"- {bare:.3f} of the bare engine on the same {tile} (aim {AIM_OF_BARE}): {reached}")
    return lines


def _fastest(runs: list[Row]) -> list[Row]:
    return sorted(runs, key=lambda one: -one["mpx_per_second"])


def peaks(rows: list[Row]) -> dict[str, float]:
    """Return the TFLOP/s of a matrix product by precision."""
    return {one["precision"]: one["tflops"] for one in done(rows, "tflops") if "side" in one}


def of_peak(row: Row, rows: list[Row]) -> float | None:
    """Return the part of the matrix product's speed, in the row's own precision, that a row reached."""
    peak = peaks(rows).get(row["precision"])
    return row["tflops"] / peak if peak else None


def of_bare(row: Row, rows: list[Row]) -> float | None:
    """Return the part of the bare engine's operations a second, on tiles as large, that a run reached."""
    same = ("engine", "precision", "network", "kept_yx")
    for one in done(rows, "slots"):
        if one["batch"] == 1 and all(one[key] == row[key] for key in same):
            return float(row["tflops"] / one["tflops"])
    return None


def done(rows: list[Row], key: str) -> list[Row]:
    """Return the rows that have a figure."""
    return [one for one in rows if key in one]


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table; empty without rows."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if len(lines) > 2 else ""


def _size(kept_yx: Any) -> str:
    return str(kept_yx[0]) if kept_yx[0] == kept_yx[1] else f"{kept_yx[0]} x {kept_yx[1]}"


def _range(row: Row) -> str:
    """Return the median with the slowest and the fastest repeat."""
    seconds, middle = row["repeats_seconds"], row["mpx_per_second"]
    megapixels = middle * statistics.median(seconds)
    return f"{middle:.4g} ({megapixels / max(seconds):.4g}-{megapixels / min(seconds):.4g})"


def _share(part: float | None) -> str:
    return f"{part:.1%}" if part is not None else ""


def _memory(row: Row) -> str:
    taken = row.get("device_bytes")
    return f"{taken / GIB:.2f}" if taken is not None else ""
