from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.trainer.project import discs, pair_of
from unetctl.runtime.geometry import input_px, shrinkage_px
from unetctl.runtime.plan import Window
from unetctl.trainer.sample import Sample, _blurred, cut, draw_sample, tile_shape
from unetctl.trainer.settings import AugmentConfig
from unetctl.trainer.streams import generator

STILL = AugmentConfig(elastic_px=0, rotation_deg=0, shift_px=0, flips=False, contrast=0, brightness=0, blur_px=0)
EQUAL = torch.ones(2)


def draw(
    pair_args: tuple[np.ndarray, ...],
    augment: AugmentConfig,
    *,
    tile: int | str = 32,
    depth: int = 1,
    seed: int = 0,
    class_weights: torch.Tensor = EQUAL,
) -> Sample:
    random = generator(seed, "sample", 1)
    pair = pair_of(*pair_args)
    return draw_sample(pair, tile=tile, depth=depth, settings=augment, class_weights=class_weights, random=random)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    y0=st.integers(-90, 60),
    x0=st.integers(-90, 60),
    size=st.integers(1, 90),
)
def test_cutting_mirrors_as_numpy_does(height: int, width: int, y0: int, x0: int, size: int) -> None:
    array = np.arange(height * width).reshape(height, width)
    found = cut(array, Window(y0=y0, x0=x0, y1=y0 + size, x1=x0 + size))
    padded = np.pad(array, 200, mode="reflect") if min(height, width) > 1 else None
    if padded is not None:
        assert (found == padded[200 + y0 : 200 + y0 + size, 200 + x0 : 200 + x0 + size]).all()
    assert found.shape == (size, size)


@pytest.mark.parametrize("shape", [(72, 60), (20, 33), (5, 7), (1, 40), (1, 1)])
@pytest.mark.parametrize("depth", [1, 2])
def test_without_augmentation_a_sample_is_what_inference_reads(shape: tuple[int, int], depth: int) -> None:
    image, instances = discs(0, *shape)
    sample = draw((image, instances > 0, instances / 10), STILL, tile="image", depth=depth)
    kept = tile_shape(pair_of(image, instances), "image", depth)
    margin = (input_px(kept[0], depth) - kept[0]) // 2
    window = Window(y0=-margin, x0=-margin, y1=kept[0] + margin, x1=kept[1] + margin)
    assert sample.image.shape[2:] == window.shape
    assert tuple(sample.labels.shape[1:]) == tuple(size - shrinkage_px(depth) for size in window.shape)
    np.testing.assert_allclose(sample.image[0, 0], cut(image, window), atol=0.02)
    side = shrinkage_px(depth) // 2
    inner = Window(y0=side - margin, x0=side - margin, y1=window.y1 - side, x1=window.x1 - side)
    assert (sample.labels[0].numpy() == cut(instances > 0, inner)).all()
    np.testing.assert_allclose(sample.weights[0] - 1, cut((instances / 10).astype(np.float16), inner), atol=1e-3)


def test_image_and_labels_move_together() -> None:
    # an image that is its own label: wherever both are sampled, they must agree away from the edges of the discs
    labels = discs(3, 90, 80)[1] > 0
    wild = AugmentConfig(elastic_px=6, rotation_deg=180, shift_px=30, flips=True, contrast=0, brightness=0)
    changed = 0
    for seed in range(8):
        sample = draw((200 * labels.astype(np.uint8), labels), wild, seed=seed)
        side = shrinkage_px(1) // 2
        seen = sample.image[0, 0, side:-side, side:-side]
        certain = (seen < 10) | (seen > 190)
        assert float((certain & ((seen > 100) != (sample.labels[0] == 1))).float().mean()) < 0.005
        still = draw((200 * labels.astype(np.uint8), labels), STILL, seed=seed)
        changed += int((still.labels != sample.labels).any())
    assert changed == 8


def test_a_label_that_lies_elsewhere_is_noticed() -> None:
    # the seeded fault of the test above: labels that lie two pixels off
    labels = discs(3, 90, 80)[1] > 0
    sample = draw((200 * labels.astype(np.uint8), np.roll(labels, 2, axis=1)), STILL)
    side = shrinkage_px(1) // 2
    seen = sample.image[0, 0, side:-side, side:-side]
    assert float(((seen > 100) != (sample.labels[0] == 1)).float().mean()) > 0.005


def test_every_kind_of_variation_changes_the_sample() -> None:
    image, instances = discs(0)
    before = draw((image, instances > 0), STILL)
    for change in (
        {"elastic_px": 5.0},
        {"rotation_deg": 90.0},
        {"shift_px": 9.0},
        {"contrast": 0.5},
        {"brightness": 0.5},
        {"blur_px": 9.0},
    ):
        after = draw((image, instances > 0), AugmentConfig(**{**_values(STILL), **change}))
        assert not torch.equal(before.image, after.image), change
        moved = not torch.equal(before.labels, after.labels)
        assert moved == (not change.keys() & {"contrast", "brightness", "blur_px"}), change
    flips = AugmentConfig(**{**_values(STILL), "flips": True})
    flipped = [draw((image, instances > 0), flips, seed=s) for s in range(16)]
    still = [draw((image, instances > 0), STILL, seed=s) for s in range(16)]
    kinds = set()
    for one, other in zip(flipped, still, strict=True):
        ways = ((), (2,), (3,), (2, 3))
        found = [axes for axes in ways if torch.allclose(one.image, other.image.flip(axes), atol=0.05)]
        assert len(found) == 1
        kinds.add(found[0])
    assert len(kinds) == 4


def test_elastic_displacements_have_the_papers_size() -> None:
    # an image of its own x coordinate shows by how much it was displaced
    columns = np.tile(np.arange(400, dtype=np.uint16), (400, 1))
    augment = AugmentConfig(**{**_values(STILL), "elastic_px": 10.0})
    labels = np.zeros(columns.shape)
    displaced = []
    for seed in range(40):
        seen = draw((columns, labels), augment, tile=48, depth=1, seed=seed).image[0, 0]
        still = draw((columns, labels), STILL, tile=48, depth=1, seed=seed).image[0, 0]
        difference = (seen - still)[still.shape[0] // 2, still.shape[1] // 2]
        displaced.append(float(difference))
        assert float((seen[1:] - seen[:-1]).abs().max()) < 2  # smooth
    assert 7 < np.std(displaced) < 13


def test_weights_are_those_of_the_true_class_and_the_border() -> None:
    image, instances = discs(0)
    border = np.full(instances.shape, 0.5)
    sample = draw((image, instances > 0, border), STILL, class_weights=torch.tensor([0.25, 4.0]))
    expected = torch.where(sample.labels == 1, 4.5, 0.75)
    torch.testing.assert_close(sample.weights, expected)


def test_colour_images_are_sampled_channel_by_channel() -> None:
    image, instances = discs(0)
    colour = np.stack([image, 255 - image, np.zeros_like(image)])
    sample = draw((colour, instances > 0), STILL)
    torch.testing.assert_close(sample.image[0, 1], 255 - sample.image[0, 0], atol=0.01, rtol=0)
    assert not sample.image[0, 2].any()


def test_pixels_are_normalised() -> None:
    image, instances = discs(0)
    plain = draw((image, instances > 0), STILL)
    pair = pair_of(image, instances > 0)
    pair.shift[:], pair.scale[:] = 50, 0.1
    sample = draw_sample(pair, tile=32, depth=1, settings=STILL, class_weights=EQUAL, random=generator(0, "sample", 1))
    torch.testing.assert_close(sample.image, (plain.image - 50) * 0.1)


def _values(augment: AugmentConfig) -> dict[str, float]:
    return {name: getattr(augment, name) for name in AugmentConfig.__dataclass_fields__}


def test_a_blur_is_the_gaussian_of_scipy() -> None:
    image = torch.from_numpy(discs(0)[0].astype(np.float32))[None]
    expected = ndimage.gaussian_filter(image[0].numpy(), 1.3, mode="nearest", truncate=3)
    np.testing.assert_allclose(_blurred(image, 1.3)[0].numpy(), expected, atol=0.01)
    assert _blurred(image, 0.1) is image


def test_tiles_are_placed_to_show_a_rare_class() -> None:
    labels = np.zeros((200, 180), np.uint8)
    labels[150:153, 20:23], labels[:40, 100:] = 1, 2
    pair = pair_of(labels, labels)

    def part_that_shows(foreground: float, background: int | None) -> float:
        drawn = (
            draw_sample(
                pair,
                tile=32,
                depth=1,
                settings=STILL,
                class_weights=torch.ones(3),
                random=generator(seed, "sample", 1),
                foreground=foreground,
                background=background,
            ).labels
            for seed in range(200)
        )
        return sum(bool((one == 1).any()) for one in drawn) / 200

    assert part_that_shows(0.0, 0) < 0.1
    assert 0.4 < part_that_shows(1.0, 0) < 0.6  # one of two classes is drawn first
    assert 0.25 < part_that_shows(1.0, None) < 0.45  # one of three
    assert 0.15 < part_that_shows(0.5, 0) < 0.4


def test_an_image_of_background_only_is_sampled_too() -> None:
    labels = np.zeros((50, 50), np.uint8)
    sample = draw_sample(
        pair_of(labels, labels),
        tile=32,
        depth=1,
        settings=STILL,
        class_weights=EQUAL,
        random=generator(0, "sample", 1),
        foreground=1.0,
        background=0,
    )
    assert sample.labels.shape == (1, 36, 36)
