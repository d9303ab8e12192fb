"""What every engine must do, as one class of tests: a backend passes by inheriting it and saying how it is opened."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from tests.models import random_pixels, tiny_model
from unetctl.runtime.engine import INVALID_LABEL, Engine, refuse_invalid
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import DataError
from unetctl.runtime.geometry import input_px, shrinkage_px
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.statistics import Statistics
from unetctl.trainer.checkpoint import Checkpoint, load_checkpoint

DEPTH = 2
LARGE = (input_px(24, DEPTH), input_px(32, DEPTH))
SMALL = (input_px(8, DEPTH), input_px(12, DEPTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCase:
    """One network as both kinds of engine take it: a checkpoint, and the model exported from it."""

    checkpoint: Checkpoint
    model: Model

    def poisoned(self, folder: Path, value: float) -> EngineCase:
        """Return the case with `value` as the bias of the last class, past the checks that would refuse it."""
        network = copy.deepcopy(self.checkpoint.network)
        assert network.classify.bias is not None
        with torch.no_grad():
            network.classify.bias[-1] = value
        model = onnx.load(self.model.path)
        bias = next(one for one in model.graph.initializer if one.name == "network.classify.bias")
        values = onnx.numpy_helper.to_array(bias).copy()
        values[-1] = value
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        onnx.save(model, folder / "poisoned.onnx")
        return EngineCase(
            checkpoint=replace(self.checkpoint, network=network),
            model=replace(self.model, path=folder / "poisoned.onnx"),
        )

    def logits(self, pixels: NDArray[Any], shift: float, scale: float) -> NDArray[np.float32]:
        """Run the network alone, in PyTorch."""
        with torch.inference_mode():
            x = (torch.from_numpy(pixels.astype(np.float32)) - shift) * scale
            found: NDArray[np.float32] = self.checkpoint.network(x).numpy()
            return found


def read_case(path: Path) -> EngineCase:
    """Read what `tiny_model` wrote."""
    return EngineCase(checkpoint=load_checkpoint(path.with_suffix(".safetensors")), model=read_model(path))


class EngineContract:
    """The tests. A subclass defines `open`, and may name a `single` shape for which it compiles in another way."""

    single = SMALL

    def open(self, case: EngineCase, request: EngineRequest) -> Engine:
        raise NotImplementedError

    def request(self, case: EngineCase, **changes: Any) -> EngineRequest:
        base = EngineRequest(model=case.model, shapes=(LARGE, SMALL), batch=1, slots=3, threads=1)
        return replace(base, **changes)

    @pytest.fixture
    def exact(self, tmp_path: Path) -> EngineCase:
        """Three classes, two channels, integer weights: every sum is exact."""
        return read_case(tiny_model(tmp_path, depth=DEPTH, channels=2, classes=3, integer=True))

    def test_labels_are_pytorchs_for_every_shape_and_batch(self, exact: EngineCase) -> None:
        with self.open(exact, self.request(exact, batch=2)) as engine:
            for seed, shape in enumerate((LARGE, SMALL, LARGE)):
                pixels = random_pixels(exact.model.spec, (2, 2, *shape), seed)
                engine.buffer(0, shape)[:] = pixels
                engine.submit(0, None)
                result = engine.result(0)
                np.testing.assert_array_equal(result.labels, exact.logits(pixels, 128, 1).argmax(axis=1))
                assert result.labels.dtype == np.uint8
                assert result.probabilities is None

    def test_a_buffer_has_the_shape_and_dtype_of_its_tiles(self, exact: EngineCase) -> None:
        with self.open(exact, self.request(exact, batch=3)) as engine:
            for shape in (SMALL, LARGE):
                buffer = engine.buffer(1, shape)
                assert buffer.shape == (3, 2, *shape)
                assert buffer.dtype == np.uint8
                assert buffer.flags.c_contiguous

    def test_slots_in_flight_do_not_mix(self, exact: EngineCase) -> None:
        pixels = [
            random_pixels(exact.model.spec, (1, 2, *shape), seed) for seed, shape in enumerate((LARGE, SMALL, LARGE))
        ]
        with self.open(exact, self.request(exact)) as engine:
            assert engine.slots == 3
            for slot, tiles in enumerate(pixels):
                engine.buffer(slot, tiles.shape[2:])[:] = tiles
            for slot in range(3):
                engine.submit(slot, None)
            results = [engine.result(slot) for slot in range(3)]
        for tiles, result in zip(pixels, results, strict=True):
            np.testing.assert_array_equal(result.labels, exact.logits(tiles, 128, 1).argmax(axis=1))

    def test_a_result_stays_until_its_slot_is_used_again(self, exact: EngineCase) -> None:
        first, second = (random_pixels(exact.model.spec, (1, 2, *LARGE), seed) for seed in (1, 2))
        with self.open(exact, self.request(exact)) as engine:
            engine.buffer(0, LARGE)[:] = first
            engine.submit(0, None)
            labels = engine.result(0).labels
            kept = labels.copy()
            engine.buffer(1, LARGE)[:] = second
            engine.submit(1, None)
            engine.result(1)
            np.testing.assert_array_equal(labels, kept)

    def test_what_a_short_batch_leaves_over_does_not_matter(self, exact: EngineCase) -> None:
        pixels = random_pixels(exact.model.spec, (1, 2, *SMALL), 5)
        with self.open(exact, self.request(exact, batch=2)) as engine:
            for rest in (0, 255):
                engine.buffer(0, SMALL)[:] = rest
                engine.buffer(0, SMALL)[0] = pixels[0]
                engine.submit(0, None)
                np.testing.assert_array_equal(
                    engine.result(0).labels[0], exact.logits(pixels, 128, 1).argmax(axis=1)[0]
                )

    @pytest.fixture
    def measured(self, tmp_path: Path) -> EngineCase:
        """Two classes, 16 bits, integer weights, normalised by the whole image."""
        return read_case(
            tiny_model(tmp_path, depth=DEPTH, integer=True, scope=Scope.IMAGE, pixel_type=PixelType.UINT16)
        )

    def test_sixteen_bits_are_used_whole(self, measured: EngineCase) -> None:
        pixels = random_pixels(measured.model.spec, (1, 1, *SMALL))
        with self.open(measured, self.request(measured)) as engine:
            assert engine.buffer(0, SMALL).dtype == np.uint16
            found = []
            for tiles in (pixels, pixels & 0xFF, pixels & 0xFF00):
                engine.buffer(0, SMALL)[:] = tiles
                engine.submit(0, Statistics(shift=(32768.0,), scale=(1.0,)))
                found.append(engine.result(0).labels.copy())
                np.testing.assert_array_equal(found[-1], measured.logits(tiles, 32768, 1).argmax(axis=1))
        assert (found[0] != found[1]).any(), "the high byte must matter, or the test is blind"
        assert (found[0] != found[2]).any(), "the low byte must matter, or the test is blind"

    def test_tiles_of_a_single_shape_get_the_same_labels(self, exact: EngineCase) -> None:
        """An engine may know of it, and compile for that shape alone."""
        pixels = random_pixels(exact.model.spec, (2, 2, *self.single), 7)
        with self.open(exact, self.request(exact, shapes=(self.single,), batch=2)) as engine:
            engine.buffer(1, self.single)[:] = pixels
            engine.submit(1, None)
            np.testing.assert_array_equal(engine.result(1).labels, exact.logits(pixels, 128, 1).argmax(axis=1))

    def test_tiles_of_a_single_shape_may_have_sixteen_bits(self, measured: EngineCase) -> None:
        pixels = random_pixels(measured.model.spec, (1, 1, *self.single), 7)
        with self.open(measured, self.request(measured, shapes=(self.single,))) as engine:
            engine.buffer(1, self.single)[:] = pixels
            engine.submit(1, Statistics(shift=(32768.0,), scale=(1.0,)))
            np.testing.assert_array_equal(engine.result(1).labels, measured.logits(pixels, 32768, 1).argmax(axis=1))

    def test_statistics_of_each_submission_are_used(self, measured: EngineCase) -> None:
        pixels = random_pixels(measured.model.spec, (1, 1, *SMALL))
        found = []
        with self.open(measured, self.request(measured)) as engine:
            for shift, scale in ((32768.0, 1.0), (1000.0, 2.0)):
                engine.buffer(0, SMALL)[:] = pixels
                engine.submit(0, Statistics(shift=(shift,), scale=(scale,)))
                found.append(engine.result(0).labels.copy())
                np.testing.assert_array_equal(found[-1], measured.logits(pixels, shift, scale).argmax(axis=1))
        assert (found[0] != found[1]).any(), "the statistics must matter, or the test is blind"

    def test_statistics_of_tiles_in_flight_are_their_own(self, measured: EngineCase) -> None:
        tiles = [random_pixels(measured.model.spec, (1, 1, *LARGE), seed) for seed in range(3)]
        with self.open(measured, self.request(measured)) as engine:
            for slot, pixels in enumerate(tiles):
                engine.buffer(slot, LARGE)[:] = pixels
            for slot in range(3):
                engine.submit(slot, Statistics(shift=(10000.0 * slot,), scale=(1.0 + slot,)))
            found = [engine.result(slot).labels.copy() for slot in range(3)]
        for slot, (pixels, labels) in enumerate(zip(tiles, found, strict=True)):
            expected = measured.logits(pixels, 10000 * slot, 1 + slot).argmax(axis=1)
            np.testing.assert_array_equal(labels, expected)

    def test_probabilities_are_soft_max_in_bytes(self, tmp_path: Path) -> None:
        case = read_case(tiny_model(tmp_path, depth=DEPTH, classes=3, outputs=("labels", "probabilities")))
        pixels = random_pixels(case.model.spec, (1, 1, *SMALL))
        logits = torch.from_numpy(case.logits(pixels, 127.5, 4 / 255))
        with self.open(case, self.request(case)) as engine:
            engine.buffer(0, SMALL)[:] = pixels
            engine.submit(0, None)
            found = engine.result(0).probabilities
        assert found is not None
        assert found.shape == (1, 3, SMALL[0] - shrinkage_px(DEPTH), SMALL[1] - shrinkage_px(DEPTH))
        assert np.abs(found - 255 * logits.softmax(dim=1).numpy()).max() <= 0.51
        assert np.ptp(found) > 50, "they must vary, or the test is blind"

    @pytest.mark.parametrize(
        "statistics",
        [
            None,
            Statistics(shift=(float("nan"),), scale=(1.0,)),
            Statistics(shift=(0.0,), scale=(float("inf"),)),
            Statistics(shift=(0.0, 0.0), scale=(1.0, 1.0)),
        ],
    )
    def test_statistics_that_cannot_be_are_refused(self, measured: EngineCase, statistics: Statistics | None) -> None:
        with self.open(measured, self.request(measured)) as engine:
            engine.buffer(0, SMALL)[:] = 0
            with pytest.raises(DataError, match="statistics"):  # noqa: PT012 - at once, or when the result is asked for
                engine.submit(0, statistics)
                engine.result(0)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number_never_becomes_a_class(self, exact: EngineCase, tmp_path: Path, value: float) -> None:
        self._assert_all_invalid(exact.poisoned(tmp_path, value))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number_never_becomes_one_of_two_classes(
        self, measured: EngineCase, tmp_path: Path, value: float
    ) -> None:
        self._assert_all_invalid(measured.poisoned(tmp_path, value))

    def _assert_all_invalid(self, case: EngineCase) -> None:
        spec = case.model.spec
        with self.open(case, self.request(case)) as engine:
            engine.buffer(0, SMALL)[:] = random_pixels(spec, (1, len(spec.channels), *SMALL))
            per_image = spec.normalisation.scope is Scope.IMAGE
            engine.submit(0, Statistics(shift=(0.0,), scale=(1.0,)) if per_image else None)
            labels = engine.result(0).labels
            assert (labels == INVALID_LABEL).all()
            with pytest.raises(DataError, match="no number"):
                refuse_invalid(labels, len(spec.classes), what="a test")

    def test_leaving_with_work_in_flight_does_not_hang(self, exact: EngineCase) -> None:
        engine = self.open(exact, self.request(exact))
        with pytest.raises(KeyboardInterrupt), engine:  # noqa: PT012
            for slot in range(3):
                engine.buffer(slot, LARGE)[:] = 0
                engine.submit(slot, None)
            raise KeyboardInterrupt
