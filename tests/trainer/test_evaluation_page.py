"""The page of an evaluation: whole in itself, honest about what it leaves out, and its pictures show every error."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests.trainer.html_reader import read_page
from tests.trainer.project import discs
from unetctl.runtime.errors import OutputError
from unetctl.runtime.spec import ClassInfo
from unetctl.trainer import evaluation_page
from unetctl.trainer.evaluate import Case, Evaluation, Prediction, evaluate
from unetctl.trainer.evaluation_page import MOST_SHOWN, Subject, check_page, write_page
from unetctl.trainer.evaluation_pictures import (
    INVENTED,
    MISSED,
    MISTAKEN,
    SIDE_PX,
    class_picture,
    encode,
    error_picture,
    image_picture,
    object_picture,
)
from unetctl.trainer.label_values import ClassMap

PANELS = ("image", "truth", "prediction", "errors")

CLASSES = ClassMap(
    classes=(ClassInfo(name="ground", colour="#000000"), ClassInfo(name="cell", colour="#e69f00")),
    values=((0,), (1,)),
    background=0,
)


def subject(names: list[str], classes: ClassMap = CLASSES) -> Subject:
    cases = []
    for seed, name in enumerate(names):
        image, instances = discs(seed, 40, 30)
        cases.append(Case(name=name, truth=(instances > 0).astype(np.uint8), objects=None, image=image[None]))
    return Subject(title="t", lead="l", cases=cases, classes=classes, notices=["n"], made="0.1, today")


def scored(about: Subject, shift: int = 1, **asked: bool) -> Evaluation:
    found = [Prediction(labels=np.roll(one.truth, shift, axis=0), seconds=0.1) for one in about.cases]
    return evaluate(about.cases, found, about.classes, **asked)


def rgb(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


def test_the_page_needs_nothing_but_itself() -> None:
    about = subject(["one", "two"])
    text = evaluation_page.evaluation_page(about, scored(about, objects=True, membranes=True))
    page = read_page(text)
    assert "script" not in page.tags
    assert not [tag for tag in page.tags if tag.startswith("@")]
    assert all(one.startswith(("data:image/", "#image-")) for one in page.references)
    assert "default-src 'none'" in text
    assert sorted(page.pictures) == sorted(f"{what} of {name}" for name in ("one", "two") for what in PANELS)
    for word in ("SEG", "AP50", "V_Rand", "warping", "missed: cell called ground", "invented: ground called cell"):
        assert word in page.text


def test_the_worst_image_comes_first_and_links_lead_to_pictures() -> None:
    about = subject(["fine", "bad", "middle"])
    found = [
        Prediction(labels=np.roll(one.truth, shift, axis=0)) for one, shift in zip(about.cases, (0, 9, 2), strict=True)
    ]
    text = evaluation_page.evaluation_page(about, evaluate(about.cases, found, CLASSES))
    assert re.findall(r'<h3 id="(image-\d+)">(\w+)</h3>', text) == [
        ("image-0", "bad"),
        ("image-1", "middle"),
        ("image-2", "fine"),
    ]
    assert [one for one in read_page(text).references if one.startswith("#")] == ["#image-0", "#image-1", "#image-2"]


def test_names_from_anywhere_cannot_become_markup() -> None:
    evil = '"><script>alert(1)</script>&'
    about = subject([evil])
    about = replace(
        about,
        title=evil,
        lead=evil,
        notices=[evil],
        classes=replace(CLASSES, classes=(CLASSES.classes[0], ClassInfo(name=evil, colour="#e69f00"))),
    )
    page = read_page(evaluation_page.evaluation_page(about, scored(about)))
    assert "script" not in page.tags
    assert page.pictures == [f"{what} of {evil}" for what in PANELS]
    assert page.text.count(evil) >= 5


def test_of_many_images_only_the_worst_are_pictured_and_the_page_says_so() -> None:
    about = subject([f"image{k}" for k in range(MOST_SHOWN + 3)])
    page = read_page(evaluation_page.evaluation_page(about, scored(about)))
    assert len(page.pictures) == 4 * MOST_SHOWN
    assert f"The {MOST_SHOWN} worst of {MOST_SHOWN + 3} images" in page.text
    assert all(f"image{k}" in page.text for k in range(MOST_SHOWN + 3))
    assert len([one for one in page.references if one.startswith("#")]) == MOST_SHOWN


def test_without_images_there_are_three_panels() -> None:
    about = subject(["one"])
    about = replace(about, cases=[replace(about.cases[0], image=None)])
    page = read_page(evaluation_page.evaluation_page(about, scored(about)))
    assert page.pictures == [f"{what} of one" for what in PANELS[1:]]


def test_averaging_shows_its_worth_and_its_cost() -> None:
    about = subject(["one"])
    text = evaluation_page.evaluation_page(about, scored(about, 2), scored(about, 1))
    assert "8 symmetries" in text
    assert "s/Mpx" in text
    assert text.count("83.33") == 2  # 0.1 s for 1200 pixels, of both


def test_thresholds_chosen_on_what_is_scored_are_called_flattering() -> None:
    about = subject(["one"])
    found = [
        Prediction(labels=one.truth, probability=(0.3 + 0.4 * one.truth).astype(np.float32)) for one in about.cases
    ]
    text = evaluation_page.evaluation_page(about, evaluate(about.cases, found, CLASSES, membranes=True))
    assert "which flatters" in text


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    about = subject(["one"])
    path = tmp_path / "page.html"
    check_page(path)
    write_page(path, about, scored(about))
    check_page(path)
    mine = tmp_path / "unetctl.toml"
    mine.write_text("[project]")
    for wrong in (mine, tmp_path, tmp_path / "gone" / "page.html"):
        with pytest.raises(OutputError):
            check_page(wrong)


def test_missed_invented_and_mistaken_pixels_have_their_colours() -> None:
    truth = np.array([[0, 1, 2, 0, 1]], np.uint8).repeat(2, axis=0)
    found = np.array([[1, 0, 1, 0, 1]], np.uint8).repeat(2, axis=0)
    picture = error_picture(truth, found, 0, None)
    assert picture[0, :3].tolist() == [rgb(INVENTED), rgb(MISSED), rgb(MISTAKEN)]
    assert (picture[0, 3:] == 255).all()
    turned = error_picture(truth, found, 1, None)
    assert turned[0, :2].tolist() == [rgb(MISSED), rgb(INVENTED)]


def test_one_wrong_pixel_of_a_large_image_can_be_seen() -> None:
    truth = np.zeros((4 * SIDE_PX, 2 * SIDE_PX), np.uint8)
    found = truth.copy()
    found[1001, 333] = 1
    picture = error_picture(truth, found, 0, None)
    assert picture.shape == (SIDE_PX, SIDE_PX // 2, 3)
    changed = np.argwhere((picture != 255).any(axis=-1))
    assert changed.tolist() == [[1001 // 4, 333 // 4]]
    assert picture[250, 83, 0] < 255 - 50


def test_a_large_image_is_shown_by_the_means_of_its_blocks() -> None:
    labels = np.zeros((2 * SIDE_PX - 1, 5), np.uint8)
    labels[::2] = 1
    picture = class_picture(labels, CLASSES.classes)
    assert picture.shape == (SIDE_PX, 3, 3)
    assert abs(picture[0].astype(int) - np.array(rgb("#e69f00")) / 2).max() <= 1
    assert picture[-1, 0].tolist() == rgb("#e69f00")  # the last block is half as high


def test_an_image_is_stretched_to_its_own_contrast() -> None:
    image = np.linspace(1000, 3000, 300, dtype=np.uint16).reshape(1, 15, 20)
    picture = image_picture(image)
    assert (picture.min(), picture.max()) == (0, 255)
    assert (picture[..., 0] == picture[..., 2]).all()
    assert (image_picture(np.full((1, 4, 4), 7, np.uint8)) == 0).all()
    colours = np.zeros((3, 4, 4), np.uint8)
    colours[0, :2] = 200
    assert image_picture(colours)[0, 0].tolist() == [255, 0, 0]


def test_numbered_objects_that_follow_each_other_differ() -> None:
    objects = np.arange(12, dtype=np.int32).reshape(1, 12)
    picture = object_picture(objects, CLASSES.classes[0])
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert len({tuple(one) for one in picture[0].tolist()}) == 12


def test_pictures_are_what_they_say() -> None:
    random = np.random.default_rng(0).integers(0, 255, (200, 150, 3)).astype(np.uint8)
    flat, photo = encode(random, is_photo=False), encode(random, is_photo=True)
    assert (imagecodecs.png_decode(flat.data) == random).all()
    assert imagecodecs.jpeg8_decode(photo.data).shape == random.shape
    assert (flat.mime, photo.mime, flat.yx) == ("image/png", "image/jpeg", (200, 150))
    about = subject(["one"])
    text = evaluation_page.evaluation_page(about, scored(about))
    for mime, data in re.findall(r'src="data:(image/\w+);base64,([^"]+)"', text):
        assert mime == "image/png"  # small pictures stay exact
        assert imagecodecs.png_decode(base64.b64decode(data)).shape == (40, 30, 3)
