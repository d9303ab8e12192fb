"""The baselines: they are what they say they are, they learn, and they are compared on equal terms."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.baselines import fcn8s, patch_classifier
from benchmarks.baselines.compare import compare, main
from benchmarks.baselines.fcn8s import FCN8s
from benchmarks.baselines.measured import Contender, costs_of, errors_of
from benchmarks.baselines.patch_classifier import (
    REACH_PX,
    WINDOW_PX,
    PatchClassifier,
    balanced_patches,
    predict_dense,
    predict_sliding,
)
from benchmarks.baselines.recipe import Baseline
from benchmarks.baselines.training import Trained, build, saved, steps_within, train
from benchmarks.membrane_protocol import Scored
from tests.data import needed
from tests.models import tiny_checkpoint, tiny_network, tiny_spec
from tests.trainer.project import discs, make_project, pair_of
from unetctl.runtime.errors import CheckFailedError, DataError
from unetctl.trainer.config import Config, load_config
from unetctl.trainer.dataset import Dataset, Pair, load_dataset
from unetctl.trainer.machine import choose_machine
from unetctl.trainer.network import UNet
from unetctl.trainer.sample import Sample
from unetctl.trainer.train import train as train_unet

SPLIT = """
average = 0.0
[data]
train = ["0-1"]
validation = ["2"]
test = ["3"]
"""
MACHINE = choose_machine("fp32")
SMALL_PATCHES = replace(
    patch_classifier.BASELINE,
    build=lambda channels, classes: PatchClassifier(channels=channels, classes=classes, maps=8, hidden=16),
)
SMALL_FCN = replace(
    fcn8s.BASELINE, build=lambda channels, classes: FCN8s(channels=channels, classes=classes, base_channels=4)
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_project(tmp_path_factory.mktemp("project"), toml=SPLIT)


@pytest.fixture(scope="module")
def dataset(config: Config) -> Dataset:
    return load_dataset(config)


@pytest.fixture
def pair() -> Pair:
    image, instances = discs(5, height=41, width=83)
    return replace(pair_of(image, instances > 0), shift=np.float32([90]), scale=np.float32([0.03]))


def patch_network() -> PatchClassifier:
    torch.manual_seed(0)
    return PatchClassifier(maps=8, hidden=16).eval()


def contender(network: torch.nn.Module, baseline: Baseline) -> Contender:
    trained = Trained(network=network, steps=1, seconds=1.0, loss=0.0)
    return Contender(name=baseline.name, trained=trained, predict=baseline.predict, ways=baseline.ways)


def test_a_window_is_classified_by_its_own_pixels_alone(pair: Pair) -> None:
    """Each pixel's window, cut by numpy from an image that numpy mirrored, is the second implementation."""
    network = patch_network()
    values = (pair.image[0].astype(np.float32) - pair.shift[0]) * pair.scale[0]
    padded = np.pad(values, REACH_PX, mode="reflect")
    sliding = predict_sliding(network, pair, range(30, 38))
    dense = predict_dense(network, pair)
    assert dense.shape == pair.labels.shape
    assert dense.std() > 1e-3, "one probability everywhere would prove nothing"
    for y, x in ((30, 0), (33, 17), (37, 82), (35, 64)):
        window = torch.from_numpy(padded[y : y + WINDOW_PX, x : x + WINDOW_PX].copy())
        with torch.no_grad():
            probability = float(network(window[None, None]).softmax(dim=1)[0, 1])
        assert sliding[y - 30, x] == pytest.approx(probability, abs=1e-5)
        assert dense[y, x] == pytest.approx(probability, abs=1e-5)


def test_sliding_and_dense_agree_on_every_pixel(pair: Pair) -> None:
    network = patch_network()
    np.testing.assert_allclose(predict_sliding(network, pair, range(41)), predict_dense(network, pair), atol=1e-5)


def test_patches_are_balanced_and_centred_on_their_label() -> None:
    labels = torch.zeros(1, 96, 96, dtype=torch.int64)
    labels[0, 40:44, 50:53] = 1
    image = torch.zeros(1, 1, 100, 100)
    image[0, 0, 2:-2, 2:-2] = labels[0]  # an image that shows its own labels
    sample = Sample(image=image, labels=labels, weights=torch.ones(labels.shape))
    patches = balanced_patches(sample, 20, torch.Generator().manual_seed(1))
    assert patches.image.shape == (20, 1, WINDOW_PX, WINDOW_PX)
    assert patches.labels.shape == patches.weights.shape == (20, 1, 1)
    assert patches.labels.sum() == 10
    torch.testing.assert_close(patches.image[:, 0, REACH_PX, REACH_PX].long(), patches.labels[:, 0, 0])


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (32, 64), (95, 33)])
def test_fcn8s_restores_any_size(size: tuple[int, int]) -> None:
    network = FCN8s(classes=3, base_channels=2).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 1, *size)).shape == (2, 3, *size)


def test_fcn8s_upsampling_starts_bilinear() -> None:
    network = FCN8s(base_channels=2)
    ramp = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 2, 6, 6)
    for layer, factor in ((network.up32, 2), (network.up8, 8)):
        with torch.no_grad():
            found = layer(ramp)
        expected = torch.nn.functional.interpolate(ramp, scale_factor=factor, mode="bilinear")
        inside = slice(factor, -factor)  # at the edges nothing is added from outside
        torch.testing.assert_close(found[..., inside, inside], expected[..., inside, inside])


def test_fcn8s_sums_scores_of_three_strides() -> None:
    network = FCN8s(base_channels=2).eval()
    image = torch.randn(1, 1, 64, 64)
    for score in (network.score32, network.score16, network.score8):
        with torch.no_grad():
            before = network(image)
            score.weight.normal_()
            assert not torch.equal(network(image), before)


def test_networks_are_as_large_as_u_nets_of_16_and_32_channels() -> None:
    def count(network: torch.nn.Module) -> int:
        return sum(one.numel() for one in network.parameters())

    assert count(UNet(base_channels=16)) < count(FCN8s()) < count(UNet(base_channels=32))


@pytest.mark.parametrize(("baseline", "steps"), [(SMALL_PATCHES, 25), (SMALL_FCN, 60)], ids=["patches", "FCN-8s"])
def test_a_few_steps_reduce_the_loss(baseline: Baseline, steps: int, dataset: Dataset, config: Config) -> None:
    def loss_after(count: int) -> float:
        settings = replace(config, train=replace(config.train, steps=count, border_weight=0.0))
        return train(baseline, build(baseline, dataset, 0), dataset, settings, MACHINE).loss

    assert loss_after(steps) < 0.8 * loss_after(1)


def test_training_again_gives_the_same_weights(dataset: Dataset, config: Config) -> None:
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    first, second = (train(SMALL_FCN, build(SMALL_FCN, dataset, 0), dataset, config, MACHINE) for _ in range(2))
    for name, value in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, rtol=0, atol=0)
    other = build(SMALL_FCN, dataset, 1)
    assert not torch.equal(other.head[0].weight, build(SMALL_FCN, dataset, 0).head[0].weight)
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random numbers were drawn"


def test_a_budget_becomes_steps_and_leaves_the_network_as_it_was(dataset: Dataset, config: Config) -> None:
    network = build(SMALL_FCN, dataset, 0)
    before = network.head[0].weight.clone()
    fewer, more = (steps_within(seconds, SMALL_FCN, network, dataset, config, MACHINE) for seconds in (1e-6, 600.0))
    assert fewer == 1
    assert more > 100
    assert torch.equal(network.head[0].weight, before)


def errors(choosing: NDArray[np.float32], scored: NDArray[np.float32], truth: NDArray[np.bool_]) -> dict[str, Scored]:
    """Score a network that predicts what is given, for a validation and a test image of one truth."""
    pairs = [pair_of(np.zeros(truth.shape, np.uint8), truth) for _ in range(2)]
    given = {id(pair): one for pair, one in zip(pairs, (choosing, scored), strict=True)}
    known = replace(SMALL_FCN, predict=lambda _, pair: given[id(pair)])
    return errors_of(contender(torch.nn.Identity(), known), pairs[:1], pairs[1:])


def test_thresholds_are_chosen_on_validation_and_kept() -> None:
    truth = np.zeros((40, 40), bool)
    truth[5:18, 5:30] = truth[22:35, 5:30] = True
    low, high = (np.where(truth, cell, 0.9 * cell - 0.1).astype(np.float32) for cell in (0.35, 0.9))
    alike = errors(low, low, truth)["pixel_error"]
    assert (alike.threshold, alike.test) == (0.25, 0)
    otherwise = errors(low, high, truth)["pixel_error"]
    assert otherwise.threshold == 0.25
    assert otherwise.test == pytest.approx(1 - truth.mean()), "0.25 calls all of it cell"


def test_an_image_of_membrane_only_has_no_small_warping_error() -> None:
    truth = np.zeros((40, 40), bool)
    truth[5:18, 5:30] = truth[22:35, 5:30] = True
    merging = np.where(truth, 0.55, 0.02).astype(np.float32)
    merging[18:22, 8:20] = 0.55  # a merger up to 0.5, above which nothing is left
    found = errors(merging, merging, truth)
    assert found["warping_error"].threshold > 0.5, "the trap is there: hardly a pixel is wrong"
    assert np.isnan(found["warping_error"].test)
    assert np.isnan(found["splits_and_mergers"].test)
    assert found["rand_error"].test > 0


def test_cost_counts_what_is_computed(pair: Pair) -> None:
    wide = replace(pair, image=np.tile(pair.image, (1, 2, 2)), labels=np.tile(pair.labels, (2, 2)))
    costs = costs_of([contender(patch_network(), patch_classifier.BASELINE)], wide)
    sliding = costs["patch classifier", "sliding window"]
    dense = costs["patch classifier", "dense"]
    of_a_window = 62**2 * 8 * 16 + 28**2 * 64 * 16 + 10**2 * 64 * 25 + 2**2 * 64 * 16 + 8 * 16 + 16 * 2
    assert sliding.multiply_adds_a_pixel == of_a_window
    assert dense.multiply_adds_a_pixel < of_a_window / 50
    assert sliding.median > dense.median


def test_a_way_that_gives_something_else_is_refused(pair: Pair) -> None:
    wrong = replace(patch_classifier.BASELINE, ways={"wrong": lambda network, one: 1 - predict_dense(network, one)})
    with pytest.raises(CheckFailedError, match="wrong"):
        costs_of([contender(patch_network(), wrong)], pair)


def test_the_command_compares_and_goes_on_where_it_stopped(
    config: Config,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("benchmarks.baselines.compare.BASELINES", (SMALL_PATCHES, SMALL_FCN))
    unet = train_unet(config, run="first")
    run = partial(compare, config, dataset, dataset.test, [unet.model])
    rows = run(steps=(2, 3))
    assert [(row.network.split(",")[0], row.way, row.steps) for row in rows] == [
        ("U-Net", "whole image", 6),
        ("patch classifier", "sliding window", 2),
        ("patch classifier", "dense", 2),
        ("FCN-8s", "whole image", 3),
    ]
    written = json.loads((config.folder / "comparison.json").read_text())
    assert [one["scores"]["rand_error"]["test"] for one in written["results"]] == [
        row.scores["rand_error"].test for row in rows
    ]
    assert (config.folder / "comparison.png").stat().st_size > 10_000
    again = run(steps=(50, 50))
    assert [row.scores["pixel_error"] for row in again] == [row.scores["pixel_error"] for row in rows]
    assert [row.steps for row in again] == [row.steps for row in rows], "saved weights were not taken"
    assert "| FCN-8s | whole image |" in capsys.readouterr().out

    assert unet.test is not None
    assert rows[0].scores["pixel_error_arg_max"].test == pytest.approx(unet.test["pixel_error"], abs=1e-6)

    elsewhere = make_project(tmp_path, toml=SPLIT.replace('["3"]', "[]"))
    with pytest.raises(DataError, match="other data"):
        saved(config.folder / "fcn-8s.safetensors", SMALL_FCN, load_dataset(load_config(elsewhere.path)), 0)


def test_a_u_net_of_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed("isbi2012-em")
    network = tiny_network(depth=1, base_channels=2)
    path = tiny_checkpoint(tmp_path / "model.safetensors", network, tiny_spec(network))
    monkeypatch.setattr("sys.argv", ["compare", str(tmp_path / "new"), "--unet", str(path)])
    with pytest.raises(SystemExit, match="cannot be compared"):
        main()
    assert not (tmp_path / "new").exists()
