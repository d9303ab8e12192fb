"""What is tried fits into the memory, is a plan of its own, and gives the same labels as everything else."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import fake_choice, fake_model, fake_spec
from tests.models import random_pixels, tiny_model
from tests.runtime.tuning_openers import Deaf, open_by_name
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.engines import EngineChoice, choose_engine
from unetctl.runtime.errors import ResourceError, UnavailableError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.memory import plan_within
from unetctl.runtime.model import read_model
from unetctl.runtime.run import Resources, plan_run, prepare
from unetctl.runtime.segmentation import segment
from unetctl.runtime.spec import Scope
from unetctl.runtime.summary import notices_of
from unetctl.runtime.tile_choice import AS_PLANNED, TileChoice, plan_tiles_like
from unetctl.runtime.tuning import Setting
from unetctl.runtime.tuning_measure import Bench
from unetctl.runtime.tuning_run import tune
from unetctl.runtime.tuning_space import TuningSpace, stand_in_image

MIB = 1 << 20


def fake_space(budget: int = 4000 * MIB, threads: int = 4, choice: EngineChoice | None = None) -> TuningSpace:
    """A space over `FakeEngine`, at 160 bytes a pixel."""
    model = fake_model()
    return TuningSpace(
        model=model,
        engines={("fake", "fp32"): choice or fake_choice(bytes_a_pixel=160)},
        info=stand_in_image(model),
        resources=Resources(max_memory_bytes=budget, threads=threads),
    )


def rivals(space: TuningSpace, steps: int) -> list[Setting]:
    """All settings within so many steps of the default."""
    found = [space.default]
    edge = found
    for _ in range(steps):
        new = dict.fromkeys(one for best in edge for axis in space.axes for one in axis(best))
        edge = [one for one in new if one not in found]
        found = found + edge
    return found


@pytest.mark.parametrize("mib", [700, 1200, 4000])
def test_nothing_is_tried_that_does_not_fit(mib: int) -> None:
    space = fake_space(mib * MIB)
    for one in rivals(space, 2):
        plan = space.plan(one)
        assert plan.expected_bytes <= mib * MIB
        if one.tiles.tile_yx is not None:
            assert plan.tiles.largest_yx == one.tiles.tile_yx
    with pytest.raises(ResourceError):
        fake_space(MIB).plan(fake_space(MIB).default)


def test_each_axis_is_gone_along_and_no_setting_is_the_default_again() -> None:
    space = fake_space()
    found = rivals(space, 2)
    tiles = {one.tiles.tile_yx for one in found}
    assert {(1024, 2048), (2048, 1024), (1024, 1024), (512, 2048), (2048, 512)} <= tiles
    assert {one.threads for one in found} == {4, 2, 1}
    assert {one.tiles.slots for one in found} >= {2, 3, 5}
    assert {one.tiles.batch for one in found} >= {1}
    assert {one.tiles.streams for one in found} == {1}, "this engine has none"
    small = replace(space.default, tiles=TileChoice(tile_yx=(1024, 1024)))
    assert {one.tiles.batch for axis in space.axes for one in axis(small)} == {1, 2}
    plans = [(replace(one, tiles=replace(one.tiles, tile_yx=None)), space.plan(one).tiles) for one in found]
    assert len(set(plans)) == len(plans), "nothing is tried twice under two names"


def test_an_engine_of_fixed_sizes_is_tried_in_those_and_one_by_one() -> None:
    sizes = tuple((input_px(side, 4),) * 2 for side in (512, 1024))
    choice = replace(fake_choice(bytes_a_pixel=160), fixed_shapes=lambda _: sizes)
    space = fake_space(choice=choice)
    found = rivals(space, 2)
    assert {one.tiles.tile_yx for one in found} == {None, (512, 512)}, "untuned it takes the larger"
    assert {one.tiles.batch for one in found} == {1}
    assert space.plan(replace(space.default, tiles=TileChoice(tile_yx=(512, 512)))).tiles.largest_yx == (512, 512)


def test_a_tile_that_no_longer_fits_is_cut_by_the_plan() -> None:
    info = stand_in_image(fake_model())

    def planned(budget: int) -> tuple[int, int]:
        plan = plan_within(
            budget,
            info=info,
            spec=fake_spec(),
            engine_bytes=lambda shapes: 160 * shapes[0][0] * shapes[0][1],
            baseline_bytes=100 * MIB,
            readers=1,
            tile_yx=(512, 2048),
        )
        assert plan.expected_bytes <= budget
        return plan.tiles.largest_yx

    assert planned(2000 * MIB) == (512, 2048)
    height, width = planned(300 * MIB)
    assert height * width < 512 * 2048


def test_what_was_tuned_is_left_out_where_not_even_the_smallest_tile_fits() -> None:
    choice, model = fake_choice(bytes_a_pixel=160), fake_model()
    source = VirtualSource(3000, 3000)

    def needed(tiles: TileChoice) -> int:
        with pytest.raises(ResourceError) as caught:
            plan_run(source.info, model, choice, Resources(max_memory_bytes=MIB, threads=1, tiles=tiles))
        return int(caught.value.hint.split("--max-memory ")[1].split("MiB")[0]) * MIB

    tuned = TileChoice(tile_yx=(1024, 1024), batch=2, streams=2)
    plain = needed(AS_PLANNED)
    assert plain < needed(tuned)
    run = prepare(source, model, choice, Resources(max_memory_bytes=plain, threads=1, tiles=tuned))
    assert run.resources.tiles == AS_PLANNED
    assert "what was tuned needs more memory than is allowed: tiles go through as without tuning" in notices_of(run)
    assert run.memory.expected_bytes <= plain
    roomy = prepare(source, model, choice, Resources(max_memory_bytes=needed(tuned), threads=1, tiles=tuned))
    assert roomy.resources.tiles == tuned
    assert not any("tuned" in one for one in notices_of(roomy))
    with pytest.raises(ResourceError):
        prepare(source, model, choice, Resources(max_memory_bytes=MIB, threads=1, tiles=tuned))


@pytest.mark.parametrize(
    ("image_yx", "planes", "batch", "streams"),
    [
        ((400, 400), 1, 1, 1),
        ((400, 400), 3, 1, 3),
        ((1024, 1024), 1, 2, 2),
        ((1024, 1400), 1, 3, 4),  # a row is a batch of two tiles, and of one that is cut
        ((9000, 9000), 1, 8, 4),
    ],
)
def test_few_tiles_get_no_batches_and_streams_that_they_cannot_fill(
    image_yx: tuple[int, int], planes: int, batch: int, streams: int
) -> None:
    tuned = TileChoice(tile_yx=(512, 512), batch=8, streams=4, slots=6)
    resources = Resources(max_memory_bytes=64 << 30, threads=1, tiles=tuned)
    source = VirtualSource(*image_yx, planes=planes)
    run = prepare(source, fake_model(), fake_choice(), resources)
    assert run.resources.tiles == replace(tuned, batch=batch, streams=streams)
    goes_on = prepare(source, fake_model(), fake_choice(), resources, tiles=run.memory.tiles)
    assert goes_on.resources.tiles == tuned


def test_a_run_that_goes_on_is_never_tuned_anew() -> None:
    choice, model = fake_choice(bytes_a_pixel=160), fake_model()
    source = VirtualSource(3000, 3000)
    tuned = TileChoice(tile_yx=(1024, 1024), batch=8, streams=2)
    begun = prepare(source, model, choice, Resources(max_memory_bytes=4096 * MIB, threads=1))
    little = Resources(max_memory_bytes=begun.memory.expected_bytes, threads=1, tiles=tuned)
    with pytest.raises(ResourceError, match="the run that is continued"):
        prepare(source, model, choice, little, tiles=begun.memory.tiles)


def test_tiles_grow_along_what_a_thin_image_leaves() -> None:
    def longest(image_yx: tuple[int, int]) -> tuple[int, int]:
        plan = plan_tiles_like(image_yx, (1024, 1024), depth=4)
        assert plan is not None
        return plan.largest_yx

    assert longest((8192, 8192)) == (1024, 1024)
    assert longest((512, 8192)) == (512, 2048)
    assert longest((8192, 300)) == (2048, 304)
    assert longest((100, 100)) == (112, 112)


def test_no_setting_changes_a_label(tmp_path: Path) -> None:
    """An integer network, whose sums are exact in any order."""
    model = read_model(tiny_model(tmp_path, channels=2, classes=3, integer=True))
    choices = {(name, "fp32"): choose_engine(name, model, precision="fp32") for name in ("openvino", "onnxruntime")}
    image = random_pixels(model.spec, (2, 600, 1100))
    info = replace(stand_in_image(model), height=600, width=1100)
    space = TuningSpace(
        model=model, engines=choices, info=info, resources=Resources(max_memory_bytes=2000 * MIB, threads=2)
    )
    settings = rivals(space, 1)
    for engine, streams in (("openvino", 2), ("onnxruntime", 1)):
        tiles = TileChoice(tile_yx=(512, 512), batch=2, slots=4, streams=streams)
        settings.append(Setting(engine=engine, precision="fp32", threads=2, tiles=tiles))
    assert {len(space.plan(one).tiles) for one in settings} >= {1, 2, 3, 6}
    truth = segment(image, model, engine=choices["onnxruntime", "fp32"])
    assert len(np.unique(truth)) == 3
    for one in settings:
        resources = replace(space.resources, threads=one.threads, tiles=one.tiles)
        labels = segment(image, model, engine=choices[one.engine, one.precision], resources=resources)
        np.testing.assert_array_equal(labels, truth, err_msg=str(one))


def test_a_bench_measures_real_engines_and_tells_what_failed(tmp_path: Path) -> None:
    path = tiny_model(tmp_path, depth=1, scope=Scope.IMAGE)
    names = ("onnxruntime", "openvino", "broken", "killed")
    openers = {(name, "fp32"): partial(open_by_name, path, name) for name in names}
    model = read_model(path)
    info = replace(stand_in_image(model), height=600, width=500)
    space = TuningSpace(
        model=model,
        engines={key: choose_engine("onnxruntime", model) for key in openers},
        info=info,
        resources=Resources(max_memory_bytes=1000 * MIB, threads=1),
    )
    first, second, broken, killed = (replace(space.default, engine=name) for name in names)
    with Bench(openers, space.plan, memory_bytes=10_000 * MIB) as bench:
        assert bench.measure(first) > 0
        assert bench.measure(second) > 0
        assert len(multiprocessing.active_children()) == 2
        with pytest.raises(UnavailableError, match="it is broken") as caught:
            bench.measure(broken)
        assert caught.value.cause == "by the test"
        with pytest.raises(ResourceError, match="ended while it was measured"):
            bench.measure(killed)
        assert bench.measure(first) > 0, "it is opened again"
        assert bench.peak_bytes[first] > 20 * MIB
    assert not multiprocessing.active_children()
    with Bench(openers, space.plan, memory_bytes=100 * MIB) as bench:
        for one in (first, second):
            bench.measure(one)
            assert len(multiprocessing.active_children()) == 1, "both are more than the memory holds"


@pytest.mark.skipif(os.name == "nt", reason="NOT RUN: processes of Windows inherit no signals")
def test_a_process_that_begins_hears_no_ctrl_c_and_we_do_again() -> None:
    space = fake_space(choice=fake_choice())
    before = signal.getsignal(signal.SIGINT)
    with Bench({("fake", "fp32"): Deaf()}, space.plan, memory_bytes=10_000 * MIB) as bench:
        assert bench.measure(space.default) > 0
        assert signal.getsignal(signal.SIGINT) is before


def test_tuning_reports_what_was_tried(tmp_path: Path) -> None:
    model = fake_model(depth=1)
    info = replace(stand_in_image(model), height=600, width=1200)
    space = TuningSpace(
        model=model,
        engines={("fake", "fp32"): fake_choice()},
        info=info,
        resources=Resources(max_memory_bytes=1000 * MIB, threads=1),
    )
    found = tune(space, {("fake", "fp32"): partial(open_by_name, tmp_path, "fake")}, seconds=2)
    assert found.outcome.default == space.default
    assert set(found.tried) == {space.default, *(one.setting for one in found.outcome.trials)}
    assert found.tried[space.default].largest_yx == (600, 1200)
    assert all(one.expected_bytes <= 1000 * MIB for one in found.tried.values())
