"""What a run would do, worked out without running it."""

from __future__ import annotations

from pathlib import Path

from unetctl.runtime.continuation import look
from unetctl.runtime.cost import layers
from unetctl.runtime.engines import EngineChoice
from unetctl.runtime.image import open_image
from unetctl.runtime.model import Model
from unetctl.runtime.report import PlanReport
from unetctl.runtime.run import Resources, prepare
from unetctl.runtime.run_folder import run_folder_of
from unetctl.runtime.run_identity import identity_of
from unetctl.runtime.summary import planned_notices

EXPECTED_BYTES_PER_PIXEL = 0.07
"""Of a compressed label image with its pyramid: membranes take 0.06, sparse nuclei a tenth of that."""


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
    output: Path | None = None,
    restart: bool = False,
) -> PlanReport:
    """Work out what `segment_file` would do with the same arguments; only the image's header is read.

    With `output` it says what is there of a run that was stopped, by its journal, and raises what `segment_file` would
    if that cannot be continued.
    """
    source = open_image(path, series=series, level=level, channels=channels, sparse=blank is not None)
    try:
        run, continued = prepare(source, model, engine, resources, blank=blank), None
        if output is not None and not restart:
            identity = identity_of(run, path, series=series, level=level, channels=channels)
            beginning = look(run_folder_of(output), output, run, identity, verified=False)
            run, continued = beginning.run, beginning.report
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
        continued=continued,
        notices=planned_notices(run),
    )
