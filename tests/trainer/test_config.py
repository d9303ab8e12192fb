from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from tests.trainer.project import write_toml
from unetctl.runtime.errors import MissingInputError, UsageError
from unetctl.trainer.config import SECTIONS, Config, load_config
from unetctl.trainer.presets import PRESETS
from unetctl.trainer.settings import DEFAULT_LEARNING_RATE, AugmentConfig, ClassConfig, DataConfig, TrainConfig


def test_an_empty_file_gives_the_defaults_and_the_folders_name(tmp_path: Path) -> None:
    config = write_toml(tmp_path / "my cells", "")
    assert config.name == "my-cells"
    assert config == Config(path=tmp_path / "my cells" / "unetctl.toml", name="my-cells")


def test_every_key_can_be_set(tmp_path: Path) -> None:
    config = write_toml(
        tmp_path,
        """
        [project]
        name = "em"
        [data]
        images = "a.tif"
        labels = "/b.tif"
        kind = "classes"
        validation = ["15-17", "x*"]
        test = 0.25
        train = ["0-14"]
        normalise = "image"
        pixel_size_um = 1
        background = "membrane"
        [[classes]]
        name = "membrane"
        values = [0]
        [[classes]]
        name = "cell"
        values = [255, 254]
        colour = "#AABBCC"
        [network]
        depth = 3
        base_channels = 8
        dropout = 0
        [train]
        steps = 5
        optimizer = "sgd"
        learning_rate = 0.5
        weight_decay = 0.0
        schedule = "constant"
        tile = "image"
        seed = 7
        validate_every = "epoch"
        batch = 2
        foreground = 1
        average = 0.5
        clip_norm = 0
        patience = 3
        preset = "paper"
        precision = "fp32"
        border_weight = 5
        border_sigma = 2.5
        class_balance = true
        border_class = "cell"
        [augment]
        elastic_px = 0
        rotation_deg = 10
        shift_px = 1
        flips = false
        contrast = 0.0
        brightness = 0.1
        blur_px = 0.5
        [export]
        model = "runs/a/model.safetensors"
        [segment]
        model = "models/a.onnx"
        """,
    )
    assert config.data.validation == ("15-17", "x*")
    assert config.data.test == 0.25
    assert config.data.pixel_size_um == 1.0
    assert config.class_values() == ((0,), (255, 254))
    assert config.train.tile == "image"
    assert config.resolve(config.data.images) == tmp_path / "a.tif"
    assert config.resolve(config.data.labels) == Path("/b.tif")
    for name, cls in SECTIONS.items():  # to something else than the default, but for what classes with values need
        for field in fields(cls):
            if field.name != "kind":
                assert getattr(getattr(config, name), field.name) != field.default, f"{name}.{field.name}"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[train]\nstps = 5", ["[train]", "stps", "'steps'"]),
        ("[trian]\nsteps = 5", ["section", "trian", "'train'"]),
        ("steps = 5", ["steps"]),
        ("[train]\nsteps = '5'", ["[train] steps", "'5'", "a whole number"]),
        ("[train]\nsteps = 5.0", ["[train] steps", "5.0", "a whole number"]),
        ("[train]\nsteps = true", ["[train] steps", "True"]),
        ("[train]\npreset = 'papers'", ["[train] preset", "'papers'", "'paper'"]),
        ("[train]\npreset = ['paper']", ["[train] preset"]),
        ("[train]\nvalidate_every = 'epochs'", ["[train] validate_every", "'epoch'"]),
        ("[train]\naverage = 1.0", ["[train] average", "below 1"]),
        ("[train]\nforeground = -0.1", ["[train] foreground"]),
        ("[train]\nbatch = 0", ["[train] batch", "at least 1"]),
        ("[train]\nsteps = 0", ["[train] steps", "0", "at least 1"]),
        ("[train]\noptimizer = 'adam'", ["[train] optimizer", "'adam'", "'adamw'"]),
        ("[train]\nlearning_rate = nan", ["[train] learning_rate", "nan"]),
        ("[train]\nclass_balance = 1", ["[train] class_balance", "true or false"]),
        ("[train]\ntile = 100", ["[train] tile", "100", "16", "96"]),
        ("[train]\ntile = 'images'", ["[train] tile", "'image'"]),
        ("[train]\nborder_sigma = 0", ["[train] border_sigma"]),
        ("[train]\nborder_class = 'cell'", ["[train] border_class", "'cell'"]),
        ("[network]\ndepth = 9", ["[network] depth", "9"]),
        ("[network]\ndropout = 1.0", ["[network] dropout"]),
        ("[augment]\nelastic_px = -1", ["[augment] elastic_px"]),
        ("[data]\nvalidation = 1.0", ["[data] validation", "below 1"]),
        ("[data]\nvalidation = ['17-15']", ["[data] validation", "17-15"]),
        ("[data]\nvalidation = [3]", ["[data] validation", "3"]),
        ("[data]\nkind = 'instance'", ["[data] kind", "'instances'"]),
        ("[data]\npixel_size_um = 0.0", ["[data] pixel_size_um"]),
        ("[project]\nname = 'a/b'", ["[project] name", "a/b"]),
        ("[[classes]]\nvalues = [1]", ["[[classes]] number 1", "name"]),
        ("[[classes]]\nname = 'a'", ["1 classes"]),
        ("[[classes]]\nname = 'a'\n[[classes]]\nname = 'a'", ["'a'", "twice"]),
        ("[[classes]]\nname = 'a'\nvalues = [1]\n[[classes]]\nname = 'b'", ["1", "two classes"]),
        ("[[classes]]\nname = 'a'\ncolour = 'red'", ["colour", "#rrggbb"]),
        ("[[classes]]\nname = 'a'\nvalues = [-1]", ["values", "negative"]),
        ("[classes]\nname = 'a'", ["[[classes]]"]),
        ("[train\n", ["TOML"]),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(tmp_path: Path, toml: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        write_toml(tmp_path, toml)
    for word in words:
        assert word in str(caught.value)


def test_a_class_that_was_misspelt_is_recognised(tmp_path: Path) -> None:
    toml = "[data]\nbackground = 'membrame'\n[[classes]]\nname = 'membrane'\n[[classes]]\nname = 'cell'"
    with pytest.raises(UsageError, match="did you mean 'membrane'"):
        write_toml(tmp_path, toml)


def test_instances_take_two_classes_without_values(tmp_path: Path) -> None:
    toml = "[data]\nkind = 'instances'\n[[classes]]\nname = 'ground'\n[[classes]]\nname = 'cell'\n"
    assert write_toml(tmp_path, toml).classes[1].name == "cell"
    with pytest.raises(UsageError, match="without values"):
        write_toml(tmp_path, toml + "values = [1]")
    with pytest.raises(UsageError, match="border_class"):
        write_toml(tmp_path, toml + "[train]\nborder_class = 'cell'")


def test_a_changed_setting_is_checked_too() -> None:
    with pytest.raises(UsageError, match="steps"):
        replace(TrainConfig(), steps=-1)


def test_the_learning_rate_follows_the_optimizer() -> None:
    assert TrainConfig().peak_rate == DEFAULT_LEARNING_RATE["adamw"]
    assert TrainConfig(optimizer="sgd").peak_rate == DEFAULT_LEARNING_RATE["sgd"]
    assert TrainConfig(learning_rate=0.5).peak_rate == 0.5


def test_borders_weigh_where_objects_are_to_be_told_apart(tmp_path: Path) -> None:
    classes = "[[classes]]\nname = 'outside'\n[[classes]]\nname = 'cell'\n"
    assert write_toml(tmp_path, classes).border_weight == 0
    assert write_toml(tmp_path, "[data]\nkind = 'instances'").border_weight == 10
    assert write_toml(tmp_path, classes + "[train]\nborder_class = 'cell'").border_weight == 10
    assert write_toml(tmp_path, classes + "[train]\npreset = 'paper'").border_weight == 10
    assert write_toml(tmp_path, classes + "[train]\nborder_weight = 3").border_weight == 3
    assert write_toml(tmp_path, "[data]\nkind = 'instances'\n[train]\nborder_weight = 0").border_weight == 0


def test_a_preset_stands_below_what_the_file_says(tmp_path: Path) -> None:
    config = write_toml(tmp_path, '[train]\npreset = "paper"\nsteps = 7\n[network]\ndepth = 2\n')
    assert (config.train.steps, config.network.depth) == (7, 2)
    assert (config.network.base_channels, config.train.optimizer, config.train.tile) == (64, "sgd", "image")
    assert (config.augment.blur_px, config.train.average, config.train.class_balance) == (0.0, 0.0, True)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_file_that_could_be_written(tmp_path: Path, name: str) -> None:
    config = write_toml(tmp_path, f'[train]\npreset = "{name}"\n')
    for section, keys in PRESETS[name].items():
        for key, value in keys.items():
            assert getattr(getattr(config, section), key) == value


def test_presets_are_all_that_the_setting_takes() -> None:
    assert set(get_args(get_type_hints(TrainConfig)["preset"])) == set(PRESETS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"unetctl\.toml is not there"):
        load_config(tmp_path / "unetctl.toml")


def test_every_knob_is_documented() -> None:
    source = Path(sys.modules[TrainConfig.__module__].__file__ or "").read_text()
    for cls in (*SECTIONS.values(), ClassConfig, DataConfig, AugmentConfig):
        for field in fields(cls):
            line = next(text for text in source.split("@dataclass") if f"class {cls.__name__}:" in text)
            assert '"""' in line.split(f"    {field.name}: ", 1)[1].split("\n")[1], f"{cls.__name__}.{field.name}"


def test_reading_the_settings_needs_no_heavy_library() -> None:
    code = "import sys, unetctl.trainer.config; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
