"""What was tuned is found again for the same model on the same machine, and never believed where anything changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unetctl.runtime import tuning_record
from unetctl.runtime.errors import DataError
from unetctl.runtime.tile_choice import TileChoice
from unetctl.runtime.tuning import Setting
from unetctl.runtime.tuning_record import Tuning, TuningKey, TuningStore

KEY = TuningKey(model_sha256="a" * 64, processor="b" * 64, processors=2)
ENGINES = ("openvino 2026.4.1 on CPU", "onnxruntime 1.31.1 on CPU")
TUNING = Tuning(
    created="2026-11-30T10:00:00+00:00",
    model="tiny",
    key=KEY,
    engines=ENGINES,
    setting=Setting(
        engine="openvino", precision="bf16", threads=2, tiles=TileChoice(tile_yx=(512, 1024), batch=2, streams=2)
    ),
    gain=1.25,
    mpx_per_second=2.5,
    default_mpx_per_second=2.0,
    image_yx=(4096, 4096),
    max_memory_bytes=4 << 30,
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    store = TuningStore(tmp_path)
    assert store.load(KEY, ENGINES) is None
    store.save(TUNING)
    assert store.load(KEY, ENGINES) == TUNING
    as_planned = replace(TUNING, setting=replace(TUNING.setting, tiles=TileChoice()))
    store.save(as_planned)
    assert store.load(KEY, ENGINES) == as_planned
    assert store.all() == (as_planned,)
    assert store.forget(KEY)
    assert not store.forget(KEY)
    assert store.load(KEY, ENGINES) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"model_sha256": "c" * 64},
        {"processor": "c" * 64},
        {"processors": 3},
        {"device": "GPU"},
        {"engine": "one"},
        {"precision": "bf16"},
    ],
    ids=lambda one: next(iter(one)),
)
def test_another_model_or_machine_has_another_record(tmp_path: Path, changed: dict[str, object]) -> None:
    store, other = TuningStore(tmp_path), replace(KEY, **changed)  # type: ignore[arg-type]
    store.save(TUNING)
    assert store.load(other, ENGINES) is None
    (tmp_path / other.file_name()).write_text(TUNING.to_json())  # as after a copy by hand
    with pytest.raises(DataError, match="another model or machine"):
        store.load(other, ENGINES)


@pytest.mark.parametrize("now", [ENGINES[:1], (*ENGINES, "tensorrt 11"), ("openvino 2027.0 on CPU", ENGINES[1]), ()])
def test_with_other_engines_it_is_stale_and_says_so(tmp_path: Path, now: tuple[str, ...]) -> None:
    store = TuningStore(tmp_path)
    store.save(TUNING)
    with pytest.raises(DataError, match=r"the engines were openvino 2026\.4\.1"):
        store.load(KEY, now)


def test_of_another_format_it_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TuningStore(tmp_path)
    store.save(TUNING)
    monkeypatch.setattr(tuning_record, "FORMAT_VERSION", 2)
    with pytest.raises(DataError, match="it is of format 1, and this unetctl knows 2"):
        store.load(KEY, ENGINES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-3],
        lambda text: text.replace('"threads": 2', '"threads": 8'),
        lambda text: text.replace("1.25", "1.26"),
        lambda _: "",
        lambda _: "[]",
        lambda _: "null",
        lambda _: '{"sha256": 1}',
        lambda _: '{"sha256": "x", "tuning": {}}',
        lambda _: '{"sha256": "x", "tuning": []}',
        lambda _: "\udcff",
    ],
)
def test_what_is_damaged_is_refused_and_not_listed(tmp_path: Path, damage: object) -> None:
    store = TuningStore(tmp_path)
    path = store.save(TUNING)
    assert callable(damage)
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"damaged|cannot be read"):
        store.load(KEY, ENGINES)
    assert store.all() == ()
    store.save(TUNING)
    assert store.load(KEY, ENGINES) == TUNING


def test_a_whole_record_without_a_field_is_damaged() -> None:
    values = json.loads(TUNING.to_json())["tuning"]
    del values["gain"]
    text = json.dumps({"sha256": tuning_record._sha256(values), "tuning": values})
    with pytest.raises(DataError, match="damaged"):
        Tuning.from_json(text)


def test_this_machine_has_one_key() -> None:
    assert TuningKey.here("x") == TuningKey.here("x")
    assert TuningKey.here("x").processors >= 1
