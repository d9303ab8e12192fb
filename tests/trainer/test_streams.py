from __future__ import annotations

from unetctl.trainer.streams import shuffled, stream_seed


def test_each_item_is_taken_once_an_epoch_in_another_order() -> None:
    epochs = [[shuffled(step, 7, seed=3) for step in range(1 + 7 * epoch, 8 + 7 * epoch)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_streams_differ_by_seed_purpose_and_number() -> None:
    seeds = [stream_seed(seed, purpose, n) for seed in range(3) for purpose in ("dropout", "sample") for n in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert stream_seed(1, "sample", 11) == 8210145160547621015  # or runs of older versions cannot be continued
