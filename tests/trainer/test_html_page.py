from __future__ import annotations

import base64

import pytest

from tests.trainer.html_reader import read_page
from unetctl.trainer.html_chart import Axes, Line, chart, seen_on_both, ticks
from unetctl.trainer.html_page import (
    Html,
    details,
    element,
    notices,
    page,
    pairs,
    picture,
    section,
    swatch,
    table,
    tiles,
)

EVIL = "<script>alert(1)</script>\"'&"


def test_a_page_of_everything_is_whole_and_fetches_nothing() -> None:
    text = page(
        "title",
        section("first", table(["a", "b"], [["x", "1"]], caption="c"), pairs([("name", 3)]), tiles([("0.9", "Dice")])),
        notices(["careful"]),
        picture(b"\x89PNG", "a picture", caption="below", wide=True),
        details("more", element("p", "hidden")),
        lead="lead",
        footer="footer",
    )
    found = read_page(text)
    assert found.pictures == ["a picture"]
    assert found.references == ["data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()]
    for word in ("title", "first", "careful", "below", "hidden", "lead", "footer"):
        assert word in found.text
    assert "default-src 'none'" in text
    assert not any(one in text for one in ("http:", "https:", "@import", "url("))


def test_text_can_never_become_markup() -> None:
    parts = (
        element("p", EVIL),
        section(EVIL, EVIL),
        table([EVIL], [[EVIL]], caption=EVIL),
        pairs([(EVIL, EVIL)]),
        picture(b"", EVIL, caption=EVIL),
        tiles([(EVIL, EVIL)]),
        notices([EVIL]),
        details(EVIL, EVIL),
        swatch("#000000", EVIL),
        swatch(f'#000000"{EVIL}', "x"),
        chart([Line(name=EVIL, colour="red", points=[(1, 1)])], AXES, mark=(1, EVIL)),
    )
    found = read_page(page(EVIL, *parts, EVIL, lead=EVIL, footer=EVIL))
    assert "script" not in found.tags
    assert found.text.count("<script>alert(1)</script>") >= 15
    assert found.pictures == [EVIL]


def test_a_seeded_script_is_caught_by_the_reader() -> None:
    assert "script" in read_page(page("title", Html(EVIL))).tags


@pytest.mark.parametrize("fault", ["<p>", "</p>", "<b><i></b></i>"])
def test_a_seeded_unclosed_element_is_caught_by_the_reader(fault: str) -> None:
    with pytest.raises(AssertionError, match="clos"):
        read_page(page("title", Html(fault)))


def test_columns_of_numbers_stand_to_the_right() -> None:
    text = table(["class", "Dice", "share", "word"], [["a", "0.91", "12 %", "x"], ["b", "\u2013", "0.3 %", "1"]])
    assert text.count('class="number"') == 6


def test_a_section_without_anything_is_left_out() -> None:
    assert not section("empty", "", Html())
    assert not notices([])


AXES = Axes(x_last=10, y_first=0, y_last=2, x_name="step", y_name="loss")


def test_points_are_drawn_where_they_are_and_those_beyond_at_the_edge() -> None:
    assert [AXES.place(x, y) for x, y in [(0, 0), (5, 1), (10, 9)]] == [(0, 100), (50, 50), (100, 0)]
    line = Line(name="a", colour="red", points=[(0, 0), (5, 1)], band=[(0, 0, 1), (5, 0, 2)], has_dots=True)
    drawn = read_page(chart([line], AXES, mark=(5, "best")))
    assert drawn.tags.count("path") == 5, "grid, band, curve, dots, mark"
    assert "best" in drawn.text


@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 1500), (0.6, 1), (0, 0.0123), (0, 7), (0.9, 1)])
def test_ticks_are_few_and_round(first: float, last: float) -> None:
    found = ticks(first, last)
    assert 3 <= len(found) <= 8
    assert first <= found[0]
    assert found[-1] <= last + 1e-9
    assert all(len(f"{one:g}") <= 5 for one in found)


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#f0e442"])
def test_colours_that_paper_or_night_would_swallow_are_changed(colour: str) -> None:
    assert seen_on_both(colour) != colour
    assert seen_on_both("#009e73") == "#009e73"
