"""`unetctl init`: a project whose every setting is there, with its default."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from importlib.resources import files
from pathlib import Path

import pytest

from tests.cli.conftest import Type
from unetctl.trainer.config import SECTIONS, load_config
from unetctl.trainer.settings import ClassConfig

TEMPLATE = files("unetctl.cli").joinpath("template.toml").read_text("utf-8")


def test_a_project_is_made_and_says_what_comes_next(unetctl: Type) -> None:
    said = unetctl("init", "my-project")
    assert said.code == 0
    assert Path("my-project/data/images").is_dir()
    assert Path("my-project/data/labels").is_dir()
    assert Path("my-project/data/README.txt").is_file()
    assert "runs/" in Path("my-project/.gitignore").read_text()
    assert "data/images" in said.out
    assert "data/labels" in said.out
    assert said.err == "next: cd my-project\n      unetctl train\n"


def test_the_project_is_named_after_its_folder(unetctl: Type) -> None:
    unetctl("init", "M\u00e4use 3 (neu)")
    assert load_config("M\u00e4use 3 (neu)/unetctl.toml").name == "M-use-3-neu"


def test_this_folder_can_become_a_project_and_keeps_its_files(unetctl: Type) -> None:
    Path(".gitignore").write_text("mine")
    said = unetctl("init", ".")
    assert (said.code, said.err) == (0, "next: unetctl train\n")
    assert Path(".gitignore").read_text() == "mine"
    assert Path("unetctl.toml").is_file()


def test_a_project_is_not_made_twice(unetctl: Type) -> None:
    unetctl("init", "p")
    Path("p/unetctl.toml").write_text("mine")
    said = unetctl("init", "p")
    assert said.code == 73
    assert Path("p/unetctl.toml").read_text() == "mine"


def test_a_file_of_that_name_is_not_touched(unetctl: Type) -> None:
    Path("p").write_text("mine")
    assert unetctl("init", "p").code == 73
    assert Path("p").read_text() == "mine"


def test_a_folder_without_a_usable_name_is_refused(unetctl: Type) -> None:
    assert unetctl("init", "---").code == 2
    assert unetctl("init", "\U0001f52c").code == 2


def keys_of_the_template() -> dict[str, set[str]]:
    """Return the keys of each section, those that are commented out among them."""
    found: dict[str, set[str]] = {}
    section = ""
    for line in TEMPLATE.splitlines():
        if match := re.match(r"(?:# )?\[\[?([a-z]+)\]", line):
            section = match[1]
        elif match := re.match(r"(?:# )?([a-z_0-9]+) = ", line):
            found.setdefault(section, set()).add(match[1])
    return found


def test_every_setting_is_in_the_template_and_no_other() -> None:
    wanted = {name: {one.name for one in fields(section)} for name, section in SECTIONS.items()}
    wanted |= {"classes": {one.name for one in fields(ClassConfig)}, "project": {"name"}}
    assert keys_of_the_template() == wanted


def test_the_template_holds_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "unetctl.toml"
    path.write_text(TEMPLATE)
    config = load_config(path)
    written = tomllib.loads(TEMPLATE)
    for name, section in SECTIONS.items():
        for one in fields(section):
            if one.name in ("images", "labels"):
                assert getattr(config.data, one.name) == f"data/{one.name}"
            else:
                assert one.default is not MISSING
                assert getattr(getattr(config, name), one.name) == one.default, f"[{name}] {one.name}"
    assert set(written) <= {"project", *SECTIONS}


def test_what_is_commented_out_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "unetctl.toml"
    path.write_text(re.sub(r"(?m)^# (?=\[\[|[a-z_0-9]+ = )", "", TEMPLATE))
    config = load_config(path)
    assert [one.name for one in config.classes] == ["outside", "cell"]
    assert config.export.model
    assert config.segment.model


@pytest.mark.parametrize("line", TEMPLATE.splitlines())
def test_the_template_can_be_read_in_any_editor(line: str) -> None:
    assert line.isascii()
    assert len(line) <= 120
