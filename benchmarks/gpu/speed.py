"""What `benchmarks.gpu` measures of each engine's speed, and in which order: the figures of the aim first.

- first: the paper's network in the fastest precision, bare on large tiles, and from file to file in three ways
- rest: other precisions, the smaller network, file to file in other tiles, other strides, batches
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

from benchmarks.gpu.bare import Sizes, engine_speed, library_speed
from benchmarks.gpu.engines import TORCH, Found, open_choice
from benchmarks.gpu.files import NOTHING, ROADS, TIFF, run_speed
from benchmarks.gpu.networks import Network, networks
from benchmarks.gpu.rows import Facts, Measurement
from benchmarks.gpu.settings import Settings

READY, BARE, LIBRARY = "model made", "bare engine", "library alone"
FIRST, REST = "first", "rest"
WITH_LIBRARY = (TORCH, "onnxruntime", "onnxruntime-cuda")
"""Engines whose library can be called without them in a few lines; TensorRT's engine is hardly more than its plan."""


def speed_measurements(settings: Settings, found: Found, which: str) -> Iterator[Measurement]:
    """Yield the measurements of one engine, the most important first; `which` is `first` or `rest`."""
    paper, *smaller = networks(settings, found.engine)
    best, *others = found.precisions(paper)
    if which == FIRST:
        yield from _first(settings, found, best, paper)
        return
    stride = settings.first_strides[-1]
    for precision in others:
        yield _bare(found, precision, paper, stride)
        yield _file(found, precision, paper, TIFF)
    for network in smaller:
        yield from (_bare(found, best, network, one) for one in settings.first_strides)
        yield from (_file(found, best, network, road) for road in (TIFF, NOTHING))
    yield from (_file(found, best, paper, TIFF, one) for one in settings.file_strides)
    yield from (_bare(found, best, paper, one) for one in settings.strides if one not in settings.first_strides)
    for network, batch in product((paper, *smaller), settings.batches):
        yield _bare(found, best, network, settings.batch_stride, batch)
    for network in smaller:
        yield from (_bare(found, best, network, one) for one in settings.strides if one not in settings.first_strides)
        yield from (_bare(found, precision, network, stride) for precision in others)


def _first(settings: Settings, found: Found, best: str, paper: Network) -> Iterator[Measurement]:
    stride = settings.first_strides[0]
    yield Measurement(
        facts=_facts(READY, found, best, paper),
        work=partial(make_ready, found, best, paper),
        is_typical=False,
    )
    yield _bare(found, best, paper, stride)
    planned: list[Sizes] = []  # filled as the runs go, because this yields one after another
    for road in ROADS:
        one = _file(found, best, paper, road)
        yield replace(one, work=partial(_noting, one.work, planned))
    measured = {(side, side) for side in settings.first_strides}
    for kept_yx in [one for one in dict.fromkeys(planned) if one not in measured]:
        yield _bare(found, best, paper, kept_yx)
    yield from (_bare(found, best, paper, one) for one in settings.first_strides[1:])
    if found.engine in WITH_LIBRARY:
        yield _bare(found, best, paper, stride, name=LIBRARY)


def _noting(work: Callable[[], Facts], planned: list[Sizes]) -> Facts:
    """Do the work, and note which tiles it took, so that the bare engine is measured on the same."""
    facts = work()
    height, width = facts["kept_yx"]
    planned.append((height, width))
    return facts


def make_ready(found: Found, precision: str, network: Network) -> Facts:
    """Make the model, so that the time for that is part of no other measurement."""
    choice, model = open_choice(found, precision, network)
    return {"description": choice.description, "model": model.spec.name}


def _bare(
    found: Found, precision: str, network: Network, kept: int | Sizes, batch: int = 1, *, name: str = BARE
) -> Measurement:
    work = engine_speed if name == BARE else library_speed
    kept_yx = (kept, kept) if isinstance(kept, int) else kept
    return Measurement(
        facts={**_facts(name, found, precision, network), "kept_yx": kept_yx, "batch": batch},
        work=partial(work, found, precision, network, kept_yx=kept_yx, batch=batch),
    )


def _file(found: Found, precision: str, network: Network, road: str, stride: int | None = None) -> Measurement:
    return Measurement(
        facts={**_facts(road, found, precision, network), "asked_stride": stride},
        work=partial(run_speed, found, precision, network, road=road, stride=stride),
        needs=ROADS[road],
    )


def _facts(name: str, found: Found, precision: str, network: Network) -> dict[str, object]:
    return {"name": name, "engine": found.engine, "precision": precision, "network": network.name}
