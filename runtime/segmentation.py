"""Segment an image of any size: the whole story, from pixels to labels, from a path to a published file.

open the image -> plan within the memory budget -> open the engine -> stream the tiles into the chunk store
-> build the pyramid -> write, verify, publish
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.blank import BlankTiles
from unetctl.runtime.chunks import ChunkGrid
from unetctl.runtime.cost import layers
from unetctl.runtime.engines import EngineChoice, choose_engine
from unetctl.runtime.image import ArraySource, open_image
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.outcome import StoreSink, check_output, publish_labels
from unetctl.runtime.plan import Tile
from unetctl.runtime.preview import Preview
from unetctl.runtime.profile import Profile
from unetctl.runtime.report import OnProgress, PlanReport, SegmentProgress, SegmentReport
from unetctl.runtime.result_names import preview_path, trace_path
from unetctl.runtime.run import Resources, Run, label, prepare
from unetctl.runtime.run_folder import run_folder
from unetctl.runtime.store import ChunkStore
from unetctl.runtime.summary import notices_of, profile_report, seconds_of
from unetctl.runtime.system import peak_memory_bytes, publish, write_atomically

EXPECTED_BYTES_PER_PIXEL = 0.07
"""Of a compressed label image with its pyramid: membranes take 0.06, sparse nuclei a tenth of that."""


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
    command: str = "",
    on_progress: OnProgress = lambda _: None,
) -> SegmentReport:
    """Segment the image at `path` into the OME-TIFF `output`, and report what was done.

    `channels` are counted from 0. Until the output is complete and verified nothing appears at its path. `on_progress`
    is called from several threads. A run that is `profiled` leaves a trace beside its output. With `blank`, a
    class, tiles with nothing in them are not computed and get that label (see `unetctl.runtime.blank`).
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
            command=command,
            on_progress=on_progress,
            begun=begun,
            profile=profile,
        )
    finally:
        source.close()


def plan_file(
    path: Path,
    *,
    model: Model,
    engine: EngineChoice,
    resources: Resources,
    series: int | None = None,
    level: int = 0,
    channels: tuple[int, ...] | None = None,
    blank: int | None = None,
) -> PlanReport:
    """Work out what `segment_file` would do with the same arguments; only the image's header is read."""
    source = open_image(path, series=series, level=level, channels=channels, sparse=blank is not None)
    try:
        run = prepare(source, model, engine, resources, blank=blank)
    finally:
        source.close()
    info, tiles = source.info, run.memory.tiles
    network = layers(model.spec.depth, model.spec.base_channels, info.channels, len(model.spec.classes))
    return PlanReport(
        image=str(path),
        image_yx=tiles.image_yx,
        planes=info.planes,
        engine=engine.description,
        precision=run.precision,
        tiles=len(tiles) * info.planes,
        read_shapes=tiles.read_shapes(),
        multiply_adds=model.record.averaging * tiles.multiply_adds(network) * info.planes,
        waste=tiles.waste(network),
        computed_over_kept=tiles.read_px() / (info.height * info.width),
        expected_memory_bytes=run.memory.expected_bytes,
        max_memory_bytes=resources.max_memory_bytes,
        expected_disk_bytes=int(2 * EXPECTED_BYTES_PER_PIXEL * run.total_px),
    )


class ArraySink:
    """A `LabelSink` over an array `[P, H, W]`."""

    def __init__(self, labels_pyx: NDArray[np.uint8]) -> None:
        self._labels = labels_pyx

    def write(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8]) -> None:
        """Copy the labels of one tile."""
        window = tile.write
        self._labels[plane, window.y0 : window.y1, window.x0 : window.x1] = labels_yx


def segment_run(
    run: Run,
    output: Path,
    *,
    preview: bool = True,
    overwrite: bool = False,
    command: str = "",
    on_progress: OnProgress = lambda _: None,
    begun: float | None = None,
    profile: Profile | None = None,
) -> SegmentReport:
    """Segment what was prepared, from any `ImageSource`, into `output`; `begun` is when the work for it started."""
    begun = time.perf_counter() if begun is None else begun
    info, spec, tiles = run.source.info, run.model.spec, run.memory.tiles
    picture = Preview(info, spec) if preview else None
    grid = ChunkGrid(planes=info.planes, image_yx=tiles.image_yx)
    on_disk = profile.disk if profile is not None else None
    with run_folder(output) as folder, ChunkStore(folder, grid, on_disk=on_disk) as store:
        check_output(output, Path(info.path), overwrite=overwrite)  # now that no other run makes it
        trace = folder / "trace.json"
        with profile.traced(trace) if profile is not None else nullcontext():
            sink = StoreSink(store, len(spec.classes))
            skipped = BlankTiles(picture.see_blank if picture else lambda *_: None)
            timings = label(
                run,
                sink,
                watchers=[picture] if picture else [],
                on_blank=skipped.see,
                on_progress=on_progress,
                profile=profile,
            )
            labelled, encoded_bytes = time.perf_counter(), store.size_bytes
            class_pixels = {one.name: int(count) for one, count in zip(spec.classes, sink.class_pixels, strict=True)}
            on_progress(SegmentProgress(phase="publish", done_px=run.total_px, total_px=run.total_px, seconds=0.0))
            with profile.phase("finish") if profile is not None else nullcontext():
                publish_labels(
                    store,
                    folder,
                    output,
                    run=run,
                    command=command,
                    class_pixels=class_pixels,
                    blank_px=skipped.kept_px,
                    overwrite=overwrite,
                )
                if picture:
                    write_atomically(preview_path(output), picture.to_png())
        if profile is not None:
            publish(trace, trace_path(output))
    finished = time.perf_counter()
    seconds = seconds_of(timings, total=finished - begun, finish=finished - labelled)
    working = seconds["total"] - seconds["start"]
    return SegmentReport(
        image=info.path,
        output=output,
        preview=preview_path(output) if preview else None,
        image_yx=tiles.image_yx,
        planes=info.planes,
        tiles=len(tiles) * info.planes,
        read_shapes=tiles.read_shapes(),
        engine=run.engine.description,
        precision=run.precision,
        seconds=seconds,
        engine_share=seconds["network"] / working,
        mpx_per_second=run.total_px / 1e6 / working,
        peak_memory_bytes=peak_memory_bytes(),
        max_memory_bytes=run.resources.max_memory_bytes,
        class_pixels=class_pixels,
        blank=skipped.report(spec.classes[run.blank].name, run.total_px) if run.blank is not None else None,
        profile=profile_report(profile, run, skipped, encoded_bytes=encoded_bytes, output=output) if profile else None,
        notices=notices_of(run),
    )
