"""`unetctl segment --plan`: what would be done, and nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unetctl.cli import output, segment_report
from unetctl.cli.results import View, refuse_own_result, result_path
from unetctl.cli.tuned import TunedRun


def plan_all(
    paths: Sequence[Path],
    wanted: Path | None,
    run: TunedRun,
    view: View,
    *,
    blank: int | None,
    restart: bool,
    as_json: bool,
) -> None:
    """Show what each run would do. The time is that of the network, the slowest stage, for what is left to do."""
    from unetctl.runtime.expected import multiply_adds_per_second
    from unetctl.runtime.planned import plan_file

    runnable, resources = run.runnable, run.resources
    values: list[dict[str, Any]] = []
    speed = 0.0
    for image in paths:
        refuse_own_result(image)
        report = plan_file(
            image,
            model=runnable.model,
            engine=runnable.choice,
            resources=resources,
            series=view.series,
            level=view.level,
            channels=view.channels,
            blank=blank,
            output=wanted or result_path(image),
            restart=restart,
        )
        speed = speed or multiply_adds_per_second(runnable.model, runnable.choice, resources.threads)
        seconds = report.multiply_adds / speed
        if report.continued is not None:
            seconds *= 1 - report.continued.pixels / (report.planes * report.image_yx[0] * report.image_yx[1])
        if as_json:
            values.append({**asdict(report), "tuned": run.facts(), "expected_seconds": seconds})
        else:
            segment_report.show_plan(report, seconds)
    if as_json:
        output.result_json(values[0] if len(paths) == 1 else values)
