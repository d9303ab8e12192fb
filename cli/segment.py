"""`unetctl segment`: images of any size in, label images out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unetctl.cli import output, segment_report
from unetctl.cli.engine_models import (
    CompileCacheSwitch,
    DeviceName,
    Devices,
    EngineName,
    GpuOptions,
    PrecisionName,
    TrustEngine,
    parse_devices,
)
from unetctl.cli.exit_codes import exit_code
from unetctl.cli.models import Wish, open_model
from unetctl.cli.progress import progress
from unetctl.cli.project import model_to_use
from unetctl.cli.quantity import check_count, parse_bytes, parse_channels
from unetctl.cli.results import (
    View,
    command_again,
    is_own_result,
    refuse_own_result,
    refuse_shared_results,
    result_path,
)
from unetctl.cli.segment_plan import plan_all
from unetctl.cli.segment_progress import segment_progress
from unetctl.cli.tuned import TunedRun, TuneSwitch, tuned_run
from unetctl.cli.wording import counted, path_text
from unetctl.runtime.errors import UnetctlError, UsageError

if TYPE_CHECKING:
    from unetctl.runtime.report import SegmentReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line asked for, besides paths."""

    view: View
    overwrite: bool
    restart: bool
    preview: bool
    profile: bool
    blank: int | None
    """Class of what is left out."""
    machine: Mapping[str, str | int | None]
    """Options about this machine that a run must have again to go on, where they have a value."""
    quiet: bool
    as_json: bool


def segment(
    paths: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="TIFF, PNG or JPEG.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="FILE",
            help="Model (.onnx), checkpoint, or nuclei: built in, for fluorescence; default: the project's newest.",
        ),
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Label image to make; default: <image>.labels.ome.tif beside it."
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Settings; default: unetctl.toml of this project."),
    ] = None,
    engine: EngineName = "auto",
    precision: PrecisionName = "auto",
    device: DeviceName = "",
    trust_engine: TrustEngine = False,
    devices: Devices = "",
    compile_cache: CompileCacheSwitch = True,
    tune: TuneSwitch = True,
    max_memory: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="Memory to stay under, as 4GiB; default: half of what is free, at most 4 GiB."
        ),
    ] = "",
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads of the engine; default: all cores.")] = None,
    channels: Annotated[str, typer.Option(metavar="LIST", help="Channels to use, counted from 1, as 1,2,3.")] = "",
    series: Annotated[
        int | None, typer.Option(metavar="N", help="Which image of a file that holds several, from 0.")
    ] = None,
    level: Annotated[int, typer.Option(metavar="N", help="Pyramid level; 0 is the full size.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what a stopped run has done, instead of going on from there.")
    ] = False,
    preview: Annotated[bool, typer.Option(help="Make a small picture of the result.")] = True,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say where the time went, and write a trace for ui.perfetto.dev.")
    ] = False,
    skip_blank: Annotated[
        bool,
        typer.Option(
            "--skip-blank",
            help="Leave out tiles whose pixels, margins included, are of one value or were never written: they get the "
            "background's label, which the network might not have given. All other labels stay the same.",
        ),
    ] = False,
    blank_label: Annotated[
        str, typer.Option(metavar="NAME", help="Class for what --skip-blank leaves out; default: the background.")
    ] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the paths of the results only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Segment images of any size, in memory that does not grow.

    In a project the model is the newest that `unetctl export` made. Results that unetctl made itself are left out.
    A run that was stopped goes on where it was when the same command is typed again.
    """
    if output_path is not None and len(paths) > 1:
        raise UsageError(
            f"--output names one file, and {len(paths)} images are given",
            hint="leave it out: each result goes beside its image",
        )
    if folder := next((one for one in paths if one.is_dir()), None):
        hint = f"name the images in it, as {path_text(folder / '*.tif')}"
        raise UsageError(f"{path_text(folder)} is a folder", hint=hint)
    for option, value, lowest in (("--threads", threads, 1), ("--series", series, 0), ("--level", level, 0)):
        check_count(value, lowest, option=option)
    if blank_label and not skip_blank:
        raise UsageError("--blank-label says what --skip-blank leaves out, and that is not asked for")
    view = View(
        series=series,
        level=level,
        channels=parse_channels(channels, option="--channels") if channels else None,
    )
    from unetctl.runtime.blank import blank_class
    from unetctl.runtime.run import Resources

    budget = parse_bytes(max_memory, option="--max-memory") if max_memory else None
    resources = Resources.of_this_machine(max_memory_bytes=budget, threads=threads)
    gpu = GpuOptions(trust_engine=trust_engine, devices=parse_devices(devices))
    wish = Wish(engine=engine, precision=precision, device=device, caches=compile_cache, gpu=gpu)
    path, why_model = model_to_use(model, config_file, wish)
    run = tuned_run(path, open_model(path, wish), resources, wish, threads=threads, use=tune)
    runnable = run.runnable
    settings = Settings(
        view=view,
        overwrite=overwrite,
        restart=restart,
        preview=preview,
        profile=profile,
        blank=blank_class(runnable.model.spec, blank_label) if skip_blank else None,
        machine={
            "--threads": threads if run.tuning is None else run.resources.threads,
            "--device": device,
            "--devices": devices,
        },
        quiet=quiet,
        as_json=as_json,
    )
    if not (quiet or as_json):
        segment_report.show_choices(run, f" ({why_model})" if why_model else "")
    if plan:
        plan_all(paths, output_path, run, view, blank=settings.blank, restart=restart, as_json=as_json)
    else:
        _segment_all(paths, output_path, run, settings)


def _segment_all(paths: Sequence[Path], wanted: Path | None, run: TunedRun, settings: Settings) -> None:
    """Segment one image after another; what fails does not stop the others, and its exit code is the command's."""
    refuse_shared_results([image for image in paths if not is_own_result(image)])
    reports: list[SegmentReport] = []
    failures: list[UnetctlError] = []
    for image in paths:
        try:
            if len(paths) == 1:
                refuse_own_result(image)
            elif is_own_result(image):
                if not settings.quiet:
                    output.notice(f"left out: {path_text(image)} is a result of unetctl")
                continue
            report = _segment_one(image, wanted or result_path(image), run, settings)
        except KeyboardInterrupt as stopped:
            if saved := output.saved_text(stopped):
                output.notice(f"saved: {saved}")
            raise
        except UnetctlError as error:
            if len(paths) == 1:
                raise
            output.show_error(error, as_json=settings.as_json)
            failures.append(error)
            continue
        reports.append(report)
        if settings.quiet:
            output.result(str(report.output))
        elif not settings.as_json:
            (segment_report.show if len(paths) == 1 else segment_report.show_briefly)(report)
    if settings.as_json:
        values = [{"model": str(run.runnable.model.path), "tuned": run.facts(), **asdict(one)} for one in reports]
        output.result_json(values[0] if len(paths) == 1 else values)
    elif len(paths) > 1 and not settings.quiet:
        failed = f", {len(failures)} failed" if failures else ""
        output.notice(f"{counted(len(reports), 'image')} of {len(paths)} segmented{failed}")
    if failures:
        raise typer.Exit(exit_code(failures[0]))
    if reports and not (settings.quiet or settings.as_json):
        output.next_command("unetctl", "inspect", reports[-1].output)


def _segment_one(image: Path, target: Path, run: TunedRun, settings: Settings) -> SegmentReport:
    from unetctl.runtime.segmentation import segment_file

    runnable = run.runnable
    silent = settings.quiet or settings.as_json
    with progress(path_text(image.name), quiet=silent) as update:
        return segment_file(
            image,
            output=target,
            model=runnable.model,
            engine=runnable.choice,
            resources=run.resources,
            overwrite=settings.overwrite,
            preview=settings.preview,
            profiled=settings.profile,
            blank=settings.blank,
            series=settings.view.series,
            level=settings.view.level,
            channels=settings.view.channels,
            restart=settings.restart,
            command=command_again(
                image, target, runnable, settings.view, blank=settings.blank, machine=settings.machine
            ),
            on_progress=segment_progress(image, update),
            on_continued=lambda found: None if silent else segment_report.show_continued(found),
        )
