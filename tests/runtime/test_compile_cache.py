"""The compile cache: never a wrong hit, whatever changes, and whole files only."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.engine_contract import read_case
from tests.models import random_pixels, tiny_model
from unetctl.runtime import compile_cache
from unetctl.runtime.compile_cache import CompileCache
from unetctl.runtime.engines import EngineRequest, open_engine
from unetctl.runtime.errors import RefusedError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.plan import CHUNK_PX
from unetctl.runtime.precision import Precision

KEY = {"model": "a", "library": "1"}


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.blob"))


def test_what_was_kept_is_found_under_its_own_key_only(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path)
    assert cache.load(KEY) is None
    cache.save(KEY, b"compiled")
    found = cache.load(KEY)
    assert found is not None
    assert found.blob.tobytes() == b"compiled"
    found.let_go()
    assert found.blob.tobytes() == b"compiled"
    assert cache.load({**KEY, "library": "2"}) is None
    cache.remove(KEY)
    assert cache.load(KEY) is None


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:9], lambda _: b"", bytes])
def test_a_damaged_entry_is_no_hit_and_goes(tmp_path: Path, damage: object) -> None:
    cache = CompileCache(tmp_path)
    cache.save(KEY, b"compiled")
    (path,) = entries(tmp_path)
    content = path.read_bytes()
    assert callable(damage)
    path.write_bytes(damage(content) if damage is not bytes else content[:-1] + b"!")
    assert cache.load(KEY) is None
    assert not entries(tmp_path)


def test_it_keeps_to_its_limit_and_what_was_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_cache, "LIMIT_BYTES", 300)
    cache = CompileCache(tmp_path)
    for number in range(3):
        cache.save({"number": number}, bytes(60))
        os.utime(entries(tmp_path)[-1], None)
        for at, path in enumerate(entries(tmp_path)):
            os.utime(path, (1000 + at, 1000 + at))
    assert cache.load({"number": 0}) is not None
    cache.save({"number": 3}, bytes(60))
    assert len(entries(tmp_path)) == 3
    assert cache.load({"number": 0}) is not None
    assert cache.load({"number": 3}) is not None


WRITES = """
import sys
from pathlib import Path
from unetctl.runtime.compile_cache import CompileCache
cache = CompileCache(Path(sys.argv[1]))
wrong = 0
for number in range(60):
    cache.save({"k": 1}, bytes([number % 251]) * 300_000)
    found = cache.load({"k": 1})
    wrong += found is None or len(set(found.blob.tobytes())) != 1 or len(found.blob) != 300_000
print(wrong)
"""


def test_two_processes_write_one_entry_and_none_reads_half_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate()[0].strip() for one in both] == ["0", "0"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("openvino", reason="NOT RUN: openvino is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "cache" / "unetctl" / "compiled"


def labels_of(model: Model, **changes: object) -> bytes:
    request = EngineRequest(model=model, shapes=((60, 60),), batch=1, slots=1, threads=1, caches=True)
    request = replace(request, **changes)  # type: ignore[arg-type]
    found = b""
    with open_engine("openvino", request) as engine:
        for shape in request.shapes:
            engine.buffer(0, shape)[:] = random_pixels(model.spec, (1, 2, *shape))
            engine.submit(0, None)
            found += engine.result(0).labels.tobytes()
    return found


def test_one_regular_size_is_an_entry_of_its_own_and_other_sizes_share_one(home: Path, tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path, channels=2, classes=3, integer=True)).model
    regular = (input_px(CHUNK_PX, model.spec.depth),) * 2
    for shapes, count in (((regular,), 1), ((regular, (60, 60)), 2), (((60, 60),), 2), (((64, 60),), 2)):
        truth = labels_of(model, shapes=shapes, caches=False)
        assert labels_of(model, shapes=shapes) == truth, "as it is made, or taken"
        assert labels_of(model, shapes=shapes) == truth, "as it is taken"
        assert len(entries(home)) == count, shapes


def test_a_run_with_the_cache_gives_the_labels_of_one_without(home: Path, tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path, channels=2, classes=3, integer=True)).model
    truth = labels_of(model, caches=False)
    assert not home.exists()
    assert labels_of(model) == truth
    (entry,) = entries(home)
    assert home.stat().st_mode & 0o077 == 0 or os.name == "nt"
    before = entry.stat().st_mtime_ns
    os.utime(entry, (1000, 1000))
    assert labels_of(model) == truth
    assert entry.stat().st_mtime_ns >= before, "it was used, and not made again"
    labels_of(model, threads=2)
    labels_of(model, hint=Precision.BF16)
    assert len(entries(home)) == 3
    entry.write_bytes(b"no blob of anything")
    assert labels_of(model) == truth
    assert len(entries(home)) == 3


def test_another_model_of_the_same_path_size_and_time_is_another_entry(home: Path, tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path, channels=2, classes=3, integer=True)).model
    found, path = labels_of(model), model.path
    times = path.stat()
    graph = onnx.load(path)
    bias = next(one for one in graph.graph.initializer if one.name == "network.classify.bias")
    values = onnx.numpy_helper.to_array(bias)[::-1] * 2
    bias.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), bias.name))
    onnx.save(graph, path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    changed = labels_of(read_model(path))
    assert changed != found
    assert changed == labels_of(read_model(path), caches=False)


def test_a_file_that_was_replaced_after_it_was_read_is_not_kept_under_its_old_hash(home: Path, tmp_path: Path) -> None:
    model = read_case(tiny_model(tmp_path, channels=2, classes=3, integer=True)).model
    labels_of(replace(model, sha256="0" * 64))
    assert not entries(home)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a user's folders from others itself")
def test_a_folder_that_others_may_write_to_is_refused(home: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True)
    home.chmod(0o777)
    with pytest.raises(RefusedError, match="not yours alone"):
        CompileCache()
