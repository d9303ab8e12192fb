import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from unetctl.runtime.chunk_cache import ChunkCache


def chunk(value: int, size: int = 100) -> np.ndarray:
    return np.full(size, value, np.uint8)


def test_kept_chunk_is_not_decoded_again() -> None:
    cache = ChunkCache(1000)
    first = cache.get("a", lambda: chunk(1))
    assert cache.get("a", lambda: chunk(2)) is first
    assert cache.decoded_chunks == 1


def test_chunk_used_longest_ago_goes_first() -> None:
    cache = ChunkCache(200)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda: chunk(0))
    decoded = cache.decoded_chunks
    cache.get("a", lambda: chunk(0))
    assert cache.decoded_chunks == decoded
    cache.get("b", lambda: chunk(0))
    assert cache.decoded_chunks == decoded + 1


def test_limit_takes_effect_at_once_and_spares_the_last_chunk() -> None:
    cache = ChunkCache(1000)
    for key in range(5):
        cache.get(key, lambda: chunk(0))
    cache.limit(0)
    cache.get(4, lambda: pytest.fail("the last chunk was not kept"))
    cache.get(3, lambda: chunk(0))
    assert cache.decoded_chunks == 6


def test_two_threads_never_decode_the_same_chunk() -> None:
    cache = ChunkCache(10_000)
    running = threading.Barrier(8)

    def slow() -> np.ndarray:
        time.sleep(0.02)
        return chunk(5)

    def worker(_: int) -> int:
        running.wait()
        return sum(int(cache.get(key, slow)[0]) for key in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(worker, range(8))) == [25] * 8
    assert cache.decoded_chunks == 5


def test_error_reaches_all_who_wait_and_the_chunk_can_be_tried_again() -> None:
    cache = ChunkCache(1000)
    running = threading.Barrier(4)

    def broken() -> np.ndarray:
        time.sleep(0.05)
        raise ValueError("damaged")

    def worker(_: int) -> str:
        running.wait()
        with pytest.raises(ValueError, match="damaged"):
            cache.get("a", broken)
        return "raised"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(worker, range(4))) == ["raised"] * 4
    assert cache.get("a", lambda: chunk(3))[0] == 3
