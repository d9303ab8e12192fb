"""How long a run would take: the speed of this engine, with this model, on this machine, times the work of the plan.

The speed is measured on a golden tile that the model carries, which takes a second at most. Small tiles run a little
slower than large ones, so the figure errs on the long side.
"""

from __future__ import annotations

import time

from unetctl.runtime.cost import layers, multiply_adds
from unetctl.runtime.engines import EngineChoice, EngineRequest
from unetctl.runtime.errors import DataError
from unetctl.runtime.model import Model
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics

REPEATS = 3


def multiply_adds_per_second(model: Model, engine: EngineChoice, threads: int) -> float:
    """Measure an engine on the model's first golden tile: the best of `REPEATS`. Raises what the engine raises."""
    if not model.golden:
        raise DataError(f"{model.path} has no golden tiles", hint="train again, or use a run that is complete")
    tile, spec = model.golden[0], model.spec
    golden_yx = tile.image.shape[1:]
    able = [one for one in engine.fixed_shapes(model) if all(a <= b for a, b in zip(golden_yx, one, strict=True))]
    height, width = min(able, default=golden_yx)  # what is computed, whatever the tile
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    statistics = None
    if spec.normalisation.scope is Scope.IMAGE:
        statistics = Statistics(shift=tuple(tile.shift.tolist()), scale=tuple(tile.scale.tolist()))
    request = EngineRequest(model=model, shapes=((height, width),), batch=1, slots=1, threads=threads)
    seconds = []
    with engine.open(request) as opened:
        for _ in range(REPEATS):
            opened.buffer(0, (height, width))[0, :, : golden_yx[0], : golden_yx[1]] = tile.image
            begun = time.perf_counter()
            opened.submit(0, statistics)
            opened.result(0)
            seconds.append(time.perf_counter() - begun)
    return model.record.averaging * multiply_adds([height], [width], network) / min(seconds)
