from __future__ import annotations

import numpy as np
import torch

from tests.trainer.project import discs, pair_of
from unetctl.runtime.geometry import align_up, input_px, margin_px
from unetctl.runtime.plan import Window
from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.machine import Machine
from unetctl.trainer.measures import confusion_matrix
from unetctl.trainer.network import UNet
from unetctl.trainer.sample import cut
from unetctl.trainer.validate import Scores, judge, predict

CPU = Machine(device=torch.device("cpu"), is_bf16=False, name="test")
WEIGHTS = torch.tensor([0.5, 2.0])


def network(depth: int = 1) -> UNet:
    torch.manual_seed(0)
    return UNet(depth=depth, base_channels=2)


def test_a_whole_image_is_judged_as_one_call_of_the_network_would() -> None:
    image, instances = discs(0, 700, 530)  # four tiles
    pair = pair_of(image, instances > 0, instances / 8)
    net = network().eval()
    margin, kept = margin_px(1), [align_up(size, 1) for size in image.shape]
    window = Window(y0=-margin, x0=-margin, y1=input_px(kept[0], 1) - margin, x1=input_px(kept[1], 1) - margin)
    with torch.inference_mode():
        whole = net(torch.from_numpy(cut(pair.image, window).astype(np.float32)[None]))
    logits = whole[:, :, 2 : 2 + image.shape[0], 2 : 2 + image.shape[1]]
    found = predict(net, pair, WEIGHTS, CPU)
    assert (found.labels == logits[0].argmax(0).numpy()).all()
    truth = torch.from_numpy(pair.labels).long()
    weights = WEIGHTS[truth] + torch.from_numpy(pair.border).float()
    expected = float(weighted_cross_entropy(logits, truth[None], weights[None]))
    np.testing.assert_allclose(found.loss, expected, rtol=1e-4)


def test_an_image_smaller_than_the_margin_is_judged_too() -> None:
    image, instances = discs(0, 3, 5)
    assert predict(network(depth=3).eval(), pair_of(image, instances > 0), WEIGHTS, CPU).labels.shape == (3, 5)


def test_scores_are_of_all_pixels_and_the_mode_is_kept() -> None:
    pairs = [pair_of(discs(seed, 20 + 10 * seed, 30)[0], discs(seed, 20 + 10 * seed, 30)[1] > 0) for seed in range(3)]
    net = network().train()
    scores, predictions = judge(net, pairs, WEIGHTS, CPU)
    assert net.training
    expected = sum(confusion_matrix(pair.labels, one.labels, 2) for pair, one in zip(pairs, predictions, strict=True))
    assert (scores.matrix == expected).all()
    sizes = [pair.labels.size for pair in pairs]
    np.testing.assert_allclose(scores.loss, np.average([one.loss for one in predictions], weights=sizes))


def test_dropout_is_off_when_a_network_is_judged() -> None:
    pair = pair_of(discs(0)[0], discs(0)[1] > 0)
    net = network().train()
    assert judge(net, [pair], WEIGHTS, CPU)[0].loss == judge(net, [pair], WEIGHTS, CPU)[0].loss


def test_scores_become_plain_values() -> None:
    classes = [ClassInfo(name=name, colour="#000000") for name in ("a", "b", "c")]
    matrix = np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]])
    values = Scores(loss=0.5, matrix=matrix).to_dict(classes)
    assert values["dice"] == {"a": 0.8, "b": round(6 / 7, 6), "c": None}
    assert values["pixel_error"] == round(1 / 6, 6)
    assert values["confusion"] == matrix.tolist()
