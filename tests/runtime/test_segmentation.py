"""From a path to a published file, with an engine whose right answer is known."""

import dataclasses
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.fakes import FakeEngine, fake_choice, fake_model
from unetctl.runtime import Resources, segment
from unetctl.runtime.engine import Result
from unetctl.runtime.engines import EngineChoice
from unetctl.runtime.errors import DataError, OutputError, ResourceError, UnetctlError, UsageError
from unetctl.runtime.image import open_image
from unetctl.runtime.planned import plan_file
from unetctl.runtime.report import SegmentProgress
from unetctl.runtime.segmentation import segment_file
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.statistics import Statistics

MIB = 1 << 20
RESOURCES = Resources(max_memory_bytes=1024 * MIB, threads=1)
MODEL = fake_model(depth=2, classes=5)


def picture(
    folder: Path, shape: tuple[int, ...] = (1300, 1100), name: str = "slide.tif"
) -> tuple[Path, NDArray[np.uint8]]:
    """Write a tiled TIFF of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tifffile.imwrite(folder / name, pixels, tile=(256, 256), compression="zlib", photometric="minisblack")
    return folder / name, pixels


def broken_choice(kind: type[FakeEngine]) -> EngineChoice:
    """Return another fake engine as a choice."""
    choice = fake_choice()
    return EngineChoice(
        name=choice.name,
        description=choice.description,
        reason=choice.reason,
        open=kind,
        bytes_needed=choice.bytes_needed,
    )


def test_a_file_becomes_a_label_image_with_its_preview_and_nothing_else(tmp_path: Path) -> None:
    path, pixels = picture(tmp_path)
    output = tmp_path / "slide.labels.ome.tif"
    seen: list[SegmentProgress] = []
    report = segment_file(
        path,
        output=output,
        model=MODEL,
        engine=fake_choice(),
        resources=RESOURCES,
        command="unetctl segment slide.tif",
        on_progress=seen.append,
    )

    assert (tifffile.imread(output) == pixels % 5).all()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "slide.labels.ome.tif",
        "slide.labels.preview.png",
        "slide.tif",
    ]
    assert sum(report.class_pixels.values()) == pixels.size
    assert report.class_pixels["class 3"] == np.count_nonzero(pixels % 5 == 3)
    assert seen[-1].phase == "publish"
    assert max(one.done_px for one in seen) == pixels.size
    parts = ("start", "statistics", "tiles", "finish")
    assert sum(report.seconds[part] for part in parts) == pytest.approx(report.seconds["total"])


def test_the_result_says_how_it_was_made(tmp_path: Path) -> None:
    path, _ = picture(tmp_path, (300, 200))
    output = tmp_path / "result.ome.tif"
    segment_file(
        path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES, command="unetctl segment x"
    )
    source = open_image(output)
    source.close()
    assert source.info.made_by is not None
    made = json.loads(source.info.made_by)

    assert made["command"] == "unetctl segment x"
    assert made["model"]["weights_sha256"] == MODEL.spec.weights_sha256
    assert made["image"]["name"] == "slide.tif"
    assert str(tmp_path) not in source.info.made_by


@pytest.mark.parametrize("axes", ["QYX", "ZYX", "TZYX", "pages", "VTYX"])
def test_a_stack_keeps_its_planes(tmp_path: Path, axes: str) -> None:
    shape = (2, 2, 300, 200) if len(axes) == 4 else (4, 300, 200)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path, output = tmp_path / "stack.tif", tmp_path / "stack.labels.ome.tif"
    if axes == "pages":  # as most programs write them: one page after the other, and no word about axes
        with tifffile.TiffWriter(path) as writer:
            for page in pixels:
                writer.write(page, contiguous=False, metadata=None, photometric="minisblack")
    else:
        tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": axes})
    report = segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES)

    assert report.planes == 4
    assert (tifffile.imread(output).reshape(shape) == pixels % 5).all()


def test_sixteen_bits_reach_the_engine_whole(tmp_path: Path) -> None:
    spec = dataclasses.replace(MODEL.spec, pixel_type=PixelType.UINT16)
    pixels = np.random.default_rng(0).integers(0, 65536, (700, 600), np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", pixels, tile=(256, 256), compression="zlib", byteorder=">")
    output = tmp_path / "a.ome.tif"
    model = dataclasses.replace(MODEL, spec=spec)
    segment_file(tmp_path / "deep.tif", output=output, model=model, engine=fake_choice(), resources=RESOURCES)

    assert (tifffile.imread(output) == pixels % 5).all()


def test_each_plane_is_normalised_by_its_own_statistics(tmp_path: Path) -> None:
    class ShowsMean(FakeEngine):
        def submit(self, slot: int, statistics: Statistics | None) -> None:
            super().submit(slot, statistics)
            assert statistics is not None
            self.mean = {**getattr(self, "mean", {}), slot: round(statistics.shift[0])}

        def result(self, slot: int) -> Result:
            labels = super().result(slot).labels
            return Result(labels=np.full_like(labels, self.mean[slot] % 5), probabilities=None)

    pixels = np.stack([np.full((1100, 600), value, np.uint8) for value in (11, 23, 37)])
    tifffile.imwrite(tmp_path / "stack.tif", pixels, photometric="minisblack")
    output = tmp_path / "a.ome.tif"
    model = fake_model(depth=2, classes=5, scope=Scope.IMAGE)
    choice = broken_choice(ShowsMean)
    segment_file(tmp_path / "stack.tif", output=output, model=model, engine=choice, resources=RESOURCES)

    assert (tifffile.imread(output) == pixels % 5).all()


def test_the_array_function_equals_the_file(tmp_path: Path) -> None:
    path, pixels = picture(tmp_path, (700, 600))
    output = tmp_path / "a.ome.tif"
    segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES, preview=False)

    assert (segment(pixels, MODEL, engine=fake_choice(), resources=RESOURCES) == tifffile.imread(output)).all()


def test_an_existing_output_is_refused_with_who_made_it_and_stays(tmp_path: Path) -> None:
    path, pixels = picture(tmp_path, (100, 100))
    output = tmp_path / "a.ome.tif"
    segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES)
    before = output.read_bytes()
    with pytest.raises(OutputError, match="made by model fake"):
        segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES)
    assert output.read_bytes() == before

    segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES, overwrite=True)
    assert (tifffile.imread(output) == pixels % 5).all()


def test_the_image_itself_is_never_the_output(tmp_path: Path) -> None:
    path, _ = picture(tmp_path, (100, 100))
    with pytest.raises(UsageError, match="is the image itself"):
        segment_file(path, output=path, model=MODEL, engine=fake_choice(), resources=RESOURCES, overwrite=True)


def test_the_preview_never_replaces_the_image_or_a_stranger(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    image, other = tmp_path / "slide.preview.png", tmp_path / "slide.png"
    image.write_bytes(imagecodecs.png_encode(pixels))
    other.write_bytes(b"a stranger's")
    before = image.read_bytes()
    arguments = {"model": MODEL, "engine": fake_choice(), "resources": RESOURCES}
    with pytest.raises(UsageError, match="is the image itself"):
        segment_file(image, output=tmp_path / "slide.ome.tif", overwrite=True, **arguments)
    segment_file(image, output=tmp_path / "labels.ome.tif", **arguments)

    assert image.read_bytes() == before
    assert other.read_bytes() == b"a stranger's"


def test_an_output_that_appears_during_the_run_is_not_replaced_and_the_labels_are_kept(tmp_path: Path) -> None:
    path, pixels = picture(tmp_path, (600, 600))
    output = tmp_path / "a.ome.tif"

    class Slow(FakeEngine):
        def result(self, slot: int) -> Result:
            output.write_bytes(b"a stranger's")
            return super().result(slot)

    with pytest.raises(OutputError, match="appeared during the run") as caught:
        segment_file(path, output=output, model=MODEL, engine=broken_choice(Slow), resources=RESOURCES)
    assert output.read_bytes() == b"a stranger's"
    (kept,) = tmp_path.glob("*-a.ome.tif")
    assert kept.name in str(caught.value)
    assert (tifffile.imread(kept) == pixels % 5).all()


@pytest.mark.parametrize("name", ["labels.png", "labels.ome.zarr", "labels"])
def test_an_output_that_is_no_tiff_is_refused(tmp_path: Path, name: str) -> None:
    path, _ = picture(tmp_path, (60, 60))
    with pytest.raises(UsageError, match="names no TIFF"):
        segment_file(path, output=tmp_path / name, model=MODEL, engine=fake_choice(), resources=RESOURCES)


@pytest.mark.parametrize("shape", [(100, 100, 3), (100, 100, 4)])
def test_channels_that_do_not_fit_are_refused_with_the_option_that_resolves_it(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = tmp_path / "colour.tif"
    tifffile.imwrite(path, pixels, photometric="rgb")
    output = tmp_path / "a.ome.tif"
    with pytest.raises(DataError, match="--channels 1 takes"):
        segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES)
    segment_file(path, output=output, model=MODEL, engine=fake_choice(), resources=RESOURCES, channels=(1,))

    assert (tifffile.imread(output) == pixels[..., 1] % 5).all()


def test_sixteen_bits_for_an_eight_bit_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.zeros((50, 50), np.uint16))
    with pytest.raises(DataError, match="uint16 pixels"):
        segment_file(path, output=tmp_path / "a.tif", model=MODEL, engine=fake_choice(), resources=RESOURCES)


class NotANumber(FakeEngine):
    """Gives no label for one pixel."""

    def result(self, slot: int) -> Result:
        labels = super().result(slot).labels
        labels[0, 5, 5] = 255
        return Result(labels=labels, probabilities=None)


class Failing(FakeEngine):
    """Fails at the first tile."""

    def result(self, slot: int) -> Result:
        raise ResourceError("seeded")


@pytest.mark.parametrize("kind", [NotANumber, Failing])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_run_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, kind: type[FakeEngine], overwrite: bool
) -> None:
    path, _ = picture(tmp_path, (600, 600))
    output = tmp_path / "a.ome.tif"
    if overwrite:
        output.write_bytes(b"the old one")
    with pytest.raises(UnetctlError):
        segment_file(
            path, output=output, model=MODEL, engine=broken_choice(kind), resources=RESOURCES, overwrite=overwrite
        )

    assert output.exists() == overwrite
    assert not overwrite or output.read_bytes() == b"the old one"
    assert {one.name for one in tmp_path.iterdir()} <= {"slide.tif", "a.ome.tif"}


def test_a_plan_reads_the_header_only_and_says_what_a_run_would_take(tmp_path: Path) -> None:
    path, _ = picture(tmp_path, (1300, 1100))
    plan = plan_file(path, model=MODEL, engine=fake_choice(), resources=RESOURCES)
    report = segment_file(path, output=tmp_path / "a.ome.tif", model=MODEL, engine=fake_choice(), resources=RESOURCES)

    assert plan.tiles == report.tiles
    assert plan.read_shapes == report.read_shapes
    assert plan.expected_memory_bytes <= RESOURCES.max_memory_bytes
    assert plan.computed_over_kept > 1
