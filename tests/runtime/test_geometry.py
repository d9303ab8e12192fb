"""The sizes against a walk through the layers, one by one."""

import pytest

from unetctl.runtime.geometry import align_up, input_px, is_valid_input, margin_px, shrinkage_px


def walk(size: int, depth: int) -> int | None:
    """Return the output size, layer by layer; None where a pooling sees an odd size or nothing is left."""
    size -= 4
    if depth:
        if size <= 0 or size % 2:
            return None
        inner = walk(size // 2, depth - 1)
        if inner is None:
            return None
        size = 2 * inner - 4
    return size if size > 0 else None


def test_the_paper_s_sizes() -> None:
    assert shrinkage_px(4) == 572 - 388 == 184
    assert margin_px(4) == 94
    assert input_px(384, 4) == 572


@pytest.mark.parametrize("depth", range(1, 6))
def test_sizes_agree_with_a_walk_through_the_layers(depth: int) -> None:
    for size in range(1, 1200):
        found = walk(size, depth)
        assert is_valid_input(size, depth) == (found is not None), size
        if found is not None:
            assert found == size - shrinkage_px(depth)


@pytest.mark.parametrize("depth", range(1, 6))
def test_every_aligned_kept_size_has_a_valid_input_with_two_pixels_to_crop(depth: int) -> None:
    step = 1 << depth
    for kept in range(step, 40 * step, step):
        assert is_valid_input(input_px(kept, depth), depth)
        assert input_px(kept, depth) - shrinkage_px(depth) == kept + 4


def test_a_misaligned_kept_size_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        input_px(388, 4)
    assert align_up(388, 4) == 400
