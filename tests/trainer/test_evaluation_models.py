"""What models predict for an evaluation, and what they know of its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models import random_pixels, tiny_checkpoint, tiny_model, tiny_network, tiny_spec
from tests.trainer.project import pair_of
from unetctl.runtime.engines import choose_engine
from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.model import read_model
from unetctl.runtime.segmentation import segment
from unetctl.runtime.spec import Scope
from unetctl.trainer.checkpoint import load_checkpoint
from unetctl.trainer.evaluation_models import (
    checkpoint_predictions,
    exported_predictions,
    has_same_split,
    seen_names,
)
from unetctl.trainer.machine import Machine
from unetctl.trainer.settings import DataConfig
from unetctl.trainer.validate import predict

CPU = Machine(device=torch.device("cpu"), is_bf16=False, name="test")
SHAPES = ((40, 52), (33, 20), (40, 52))


def test_a_checkpoint_gives_the_labels_of_validation_with_probabilities_and_seconds(tmp_path: Path) -> None:
    network = tiny_network(depth=2, base_channels=4)
    spec = tiny_spec(network)
    checkpoint = load_checkpoint(tiny_checkpoint(tmp_path / "m.safetensors", network, spec))
    images = [random_pixels(spec, (1, *shape), seed) for seed, shape in enumerate(SHAPES)]
    shift, scale = (np.array(one, np.float32) for one in (spec.normalisation.shift, spec.normalisation.scale))
    for background in (0, 1):
        for image, found in zip(images, checkpoint_predictions(checkpoint, images, background=background), strict=True):
            pair = replace(pair_of(image, np.zeros(image.shape[1:])), shift=shift, scale=scale)
            assert (found.labels == predict(network, pair, torch.ones(2), CPU).labels).all()
            assert 0 < found.labels.mean() < 1
            assert found.probability is not None
            assert ((found.probability > 0.5) == (found.labels == 1 - background)).all()
            assert found.seconds


def test_the_averaged_network_is_the_mean_of_its_eight_views(tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2)
    checkpoint = load_checkpoint(tiny_checkpoint(tmp_path / "m.safetensors", network, tiny_spec(network)))
    image = random_pixels(checkpoint.spec, (1, 24, 24))
    margin = 8 + 2  # of depth 1, and the pixels that tiles crop
    padded = np.pad(image.astype(np.float32), ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    normalisation = checkpoint.spec.normalisation
    x = torch.from_numpy((padded[None] - normalisation.shift[0]) * normalisation.scale[0])
    with torch.inference_mode():
        views = [network(one.rot90(k, (2, 3))).rot90(-k, (2, 3)) for one in (x, x.flip(3)) for k in range(4)]
    views[4:] = [one.flip(3) for one in views[4:]]
    logits = torch.stack(views).mean(0)[0, :, 2:-2, 2:-2]
    found = next(checkpoint_predictions(checkpoint, [image], background=0, averaged=True))
    assert found.probability is not None
    np.testing.assert_allclose(found.probability, logits.softmax(0)[1].numpy(), atol=1e-5)
    plain = next(checkpoint_predictions(checkpoint, [image], background=0))
    assert plain.probability is not None
    assert np.abs(plain.probability - found.probability).max() > 1e-3


def test_statistics_of_the_image_are_measured_where_the_model_wants_them(tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2)
    spec = tiny_spec(network, scope=Scope.IMAGE)
    checkpoint = load_checkpoint(tiny_checkpoint(tmp_path / "m.safetensors", network, spec))
    image = random_pixels(spec, (1, 24, 24))
    one, other = (next(checkpoint_predictions(checkpoint, [pixels], background=0)) for pixels in (image, image // 2))
    assert one.probability is not None
    assert other.probability is not None
    assert np.abs(one.probability - other.probability).max() < 0.1


def test_three_classes_have_no_probability_of_one(tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2, classes=3)
    checkpoint = load_checkpoint(tiny_checkpoint(tmp_path / "m.safetensors", network, tiny_spec(network)))
    found = next(checkpoint_predictions(checkpoint, [random_pixels(checkpoint.spec, (1, 20, 20))], background=0))
    assert found.probability is None


def test_a_seeded_nan_is_caught(tmp_path: Path) -> None:
    network = tiny_network(depth=1, base_channels=2)
    checkpoint = load_checkpoint(tiny_checkpoint(tmp_path / "m.safetensors", network, tiny_spec(network)))
    with torch.no_grad():
        checkpoint.network.classify.weight[0, 0] = float("nan")
    with pytest.raises(CheckFailedError, match="NaN"):
        list(checkpoint_predictions(checkpoint, [random_pixels(checkpoint.spec, (1, 20, 20))], background=0))


def test_an_exported_model_gives_each_image_its_own_labels(tmp_path: Path) -> None:
    model = read_model(tiny_model(tmp_path))
    images = [random_pixels(model.spec, (1, *shape), seed) for seed, shape in enumerate(SHAPES)]
    done: list[int] = []
    found = exported_predictions(model, images, choose_engine("onnxruntime"), done.append)
    for image, prediction in zip(images, found, strict=True):
        assert (prediction.labels == segment(image, model, engine="onnxruntime")).all()
        assert prediction.seconds
    assert done == [1, 3]  # of one shape together


def test_a_model_knows_what_it_was_trained_on() -> None:
    network = tiny_network(depth=1, base_channels=2)
    split = {
        "train": {"images": 2, "names": ["a", "b"]},
        "validation": {"images": 1, "names": ["c"]},
    }
    spec = replace(tiny_spec(network), training={"split": split})
    assert seen_names(spec, ["b", "c", "d"]) == ({"b": "train", "c": "validation"}, True)
    split["train"] = {"images": 60, "names": ["a", "..."]}
    assert seen_names(spec, ["b"]) == ({}, False)
    for training in ({}, {"split": 3}, {"split": {"train": {"names": 4}}}):
        assert seen_names(replace(spec, training=training), ["a"]) == ({}, False)


def test_another_split_than_that_of_the_training_is_noticed() -> None:
    network = tiny_network(depth=1, base_channels=2)
    data = {"train": [], "validation": ["3-4"], "test": 0.1}
    spec = replace(tiny_spec(network), training={"settings": {"data": data}})
    assert has_same_split(spec, DataConfig(validation=("3-4",), test=0.1))
    assert not has_same_split(spec, DataConfig(validation=("3-5",), test=0.1))
    assert not has_same_split(tiny_spec(network), DataConfig())
