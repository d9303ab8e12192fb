"""Segment an image of any size: the whole story, from pixels to labels, from a path to a published file.

open the image -> plan within the memory budget -> open the engine -> stream the tiles into the chunk store
-> build the pyramid -> write, verify, publish

A run that is stopped leaves its tiles in the run folder, and the same call goes on there: see `continuation`.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.blank import BlankTiles
from unetctl.runtime.check import refuse_other_labels
from unetctl.runtime.continuation import begin, kept_if_it_fails
from unetctl.runtime.engines import EngineChoice, choose_engine
from unetctl.runtime.image import ArraySource, open_image
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.outcome import StoreSink, check_output, publish_labels
from unetctl.runtime.plan import Tile
from unetctl.runtime.preview import Preview
from unetctl.runtime.profile import Profile
from unetctl.runtime.recall import Recalled, recall
from unetctl.runtime.report import OnContinued, OnProgress, SegmentProgress, SegmentReport
from unetctl.runtime.result_names import preview_path, trace_path
from unetctl.runtime.run import NOTHING_TO_LABEL, Resources, Run, label, prepare
from unetctl.runtime.run_folder import run_folder
from unetctl.runtime.run_identity import RunIdentity, identity_of
from unetctl.runtime.store import ChunkStore, translated_disk_errors
from unetctl.runtime.summary import profile_report, seconds_of, segment_report
from unetctl.runtime.system import publish, write_atomically


def segment(
    image: NDArray[Any],
    model: str | Path | Model,
    *,
    engine: str | EngineChoice = "auto",
    precision: str = "auto",
    resources: Resources | None = None,
) -> NDArray[np.uint8]:
    """Label an image in memory: uint8 or uint16 `[H, W]`, `[C, H, W]` or `[P, C, H, W]` to uint8 `[(P,) H, W]`.

    The result is the network's on the whole mirrored image, whatever the tiles. `model` is an exported model or its
    path. `precision` goes with an `engine` that is named: `auto` is the fastest that the export accepted, and `fp32`
    gives PyTorch's labels but for ties. The labels are in memory beside what `resources` allow. Raises `DataError` if
    the image is not what the model takes, and `ResourceError` if the memory does not suffice.
    """
    model = read_model(model) if isinstance(model, str | Path) else model
    choice = choose_engine(engine, model, precision=precision) if isinstance(engine, str) else engine
    if choice.is_tried_first:
        refuse_other_labels(model, choice)
    source = ArraySource(image)
    run = prepare(source, model, choice, resources or Resources.of_this_machine())
    labels = np.empty((source.info.planes, source.info.height, source.info.width), np.uint8)
    label(run, ArraySink(labels))
    return labels if image.ndim == 4 else labels[0]


def segment_file(
    path: Path,
    *,
    output: Path,
    model: Model,
    engine: EngineChoice,
    resources: Resources,
    overwrite: bool = False,
    preview: bool = True,
    profiled: bool = False,
    blank: int | None = None,
    series: int | None = None,
    level: int = 0,
    channels: tuple[int, ...] | None = None,
    restart: bool = False,
    command: str = "",
    on_progress: OnProgress = lambda _: None,
    on_continued: OnContinued = lambda _: None,
) -> SegmentReport:
    """Segment the image at `path` into the OME-TIFF `output`, and report what was done.

    `channels` are counted from 0. Until the output is complete and verified nothing appears at its path. `on_progress`
    is called from several threads. A run that is `profiled` leaves a trace beside its output. With `blank`, a
    class, tiles with nothing in them are not computed and get that label (see `unetctl.runtime.blank`).

    A run that was stopped goes on where it was when it is called for again, and `on_continued` is told what was there;
    with `restart` that is discarded. Raises `UsageError` if what is there was computed otherwise.
    """
    begun = time.perf_counter()
    check_output(output, path, overwrite=overwrite)
    profile = Profile() if profiled else None
    on_disk = profile.disk if profile is not None else None
    source = open_image(path, series=series, level=level, channels=channels, on_disk=on_disk, sparse=blank is not None)
    try:
        run = prepare(source, model, engine, resources, blank=blank)
        return segment_run(
            run,
            output,
            preview=preview,
            overwrite=overwrite,
            restart=restart,
            identity=identity_of(run, path, series=series, level=level, channels=channels),
            command=command,
            on_progress=on_progress,
            on_continued=on_continued,
            begun=begun,
            profile=profile,
        )
    finally:
        source.close()


class ArraySink:
    """A `LabelSink` over an array `[P, H, W]`."""

    def __init__(self, labels_pyx: NDArray[np.uint8]) -> None:
        self._labels = labels_pyx

    def write(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8], *, left_out: bool = False) -> None:
        """Copy the labels of one tile."""
        del left_out  # it is of interest to those who continue
        window = tile.write
        self._labels[plane, window.y0 : window.y1, window.x0 : window.x1] = labels_yx


def segment_run(
    run: Run,
    output: Path,
    *,
    preview: bool = True,
    overwrite: bool = False,
    restart: bool = False,
    identity: RunIdentity | None = None,
    command: str = "",
    on_progress: OnProgress = lambda _: None,
    on_continued: OnContinued = lambda _: None,
    begun: float | None = None,
    profile: Profile | None = None,
) -> SegmentReport:
    """Segment what was prepared, from any `ImageSource`, into `output`; `begun` is when the work for it started.

    Without an `identity` nobody can tell whether a later run is this one, and what is done is lost if it stops.
    """
    begun = time.perf_counter() if begun is None else begun
    info, spec = run.source.info, run.model.spec
    picture = Preview(info, spec) if preview else None
    on_disk = profile.disk if profile is not None else None
    phase = profile.phase if profile is not None else nullcontext
    with run_folder(output) as folder:
        check_output(output, Path(info.path), overwrite=overwrite)  # now that no other run makes it
        with translated_disk_errors(folder.path):
            beginning = begin(folder, output, run, identity, restart=restart, command=command)
        run, continued = beginning.run, beginning.report
        done_px = continued.pixels if continued else 0
        class_pixels = np.zeros(len(spec.classes), np.int64)
        skipped = BlankTiles(picture.see_blank if picture else lambda *_: None)
        there, trace = Recalled(), folder.path / "trace.json"
        with (
            kept_if_it_fails(folder, beginning, restarted=restart),
            ChunkStore(folder.path, beginning.places.grid, found=beginning.places, on_disk=on_disk) as store,
            profile.traced(trace) if profile is not None else nullcontext(),
        ):
            if continued:
                on_continued(continued)
                with phase("recall"):
                    there = recall(run, store, class_pixels, picture=picture, skipped=skipped, on_progress=on_progress)
            timings = NOTHING_TO_LABEL
            if done_px < run.total_px:
                timings = label(
                    run,
                    StoreSink(store, class_pixels),
                    watchers=[picture] if picture else [],
                    on_blank=skipped.see,
                    on_progress=on_progress,
                    profile=profile,
                    statistics=beginning.statistics,
                    on_statistics=beginning.keep_statistics,
                    is_done=beginning.is_done if continued else None,
                    done_px=done_px,
                )
            labelled, encoded_bytes = time.perf_counter(), store.size_bytes
            of_classes = {one.name: int(count) for one, count in zip(spec.classes, class_pixels, strict=True)}
            on_progress(SegmentProgress(phase="publish", done_px=run.total_px, total_px=run.total_px, seconds=0.0))
            with phase("finish"):
                publish_labels(
                    store,
                    folder.path,
                    output,
                    run=run,
                    command=command,
                    class_pixels=of_classes,
                    blank_px=skipped.kept_px,
                    overwrite=overwrite,
                )
                folder.is_published = True
                if picture:
                    write_atomically(preview_path(output), picture.to_png())
        if profile is not None:
            publish(trace, trace_path(output))
    finished = time.perf_counter()
    return segment_report(
        run,
        output,
        preview=preview,
        seconds=seconds_of(timings, total=finished - begun, finish=finished - labelled),
        class_pixels=of_classes,
        skipped=skipped,
        continued=continued,
        profile=profile_report(profile, run, skipped, there, encoded_bytes=encoded_bytes, output=output)
        if profile
        else None,
    )
