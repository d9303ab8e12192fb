"""Pages that need no network: one HTML file with its style and its pictures inside.

    page(title, section("Scores", table(...)), section("Predictions", picture(...)))

Whatever is not `Html` is text and is escaped, so that a name of a class or a file can never become markup. The page
forbids the browser to fetch or run anything.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence
from string import Template

from unetctl.trainer.html_style import STYLE


class Html(str):
    """Markup that is finished; only functions that escape what they are given make it."""

    __slots__ = ()


_SKELETON = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$lead
</header>
<main>
$body
</main>
<footer>$footer</footer>
</body>
</html>
""")

_NUMBER = re.compile(r"[-+\u2212]?[\d.,]+(e[-+]?\d+)?( ?%)?|-|\u2013|")


def page(title: str, *body: str | Html, lead: str | Html = "", footer: str | Html = "") -> str:
    """Return the whole page; `lead` is the line under the title."""
    return _SKELETON.substitute(
        title=escaped(title),
        style=STYLE,
        lead=element("p", lead, kind="lead") if lead else "",
        body="\n".join(map(escaped, body)),
        footer=escaped(footer),
    )


def escaped(value: object) -> Html:
    """Return text as markup that shows it; markup stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def element(tag: str, *content: object, kind: str = "") -> Html:
    """Return an element, with `kind` as its class; empty content is left as it is."""
    return Html(f"<{tag}{_kind(kind)}>{''.join(map(escaped, content))}</{tag}>")


def section(heading: str | Html, *body: str | Html) -> Html:
    """Return a part of the page under its heading; nothing where there is nothing to show."""
    shown = [escaped(one) for one in body if one]
    return element("section", element("h2", heading), *shown) if shown else Html()


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], *, caption: str = "") -> Html:
    """Return a table that scrolls sideways where it is too wide; columns of numbers stand to the right.

    The first cell of each row is its heading.
    """
    cells = [list(row) for row in rows]
    right = [all(_NUMBER.fullmatch(str(row[column])) for row in cells) for column in range(len(headers))]
    kinds = ["number" if one and column else "" for column, one in enumerate(right)]
    head = "".join(f'<th scope="col"{_kind(k)}>{escaped(one)}</th>' for one, k in zip(headers, kinds, strict=True))
    label = escaped(caption or "table")
    lines = [f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>']
    lines += [element("caption", caption)] if caption else []
    lines += [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for first, *more in cells:
        others = "".join(f"<td{_kind(k)}>{escaped(one)}</td>" for one, k in zip(more, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{escaped(first)}</th>{others}</tr>')
    return Html("\n".join([*lines, "</tbody></table></div>"]))


def pairs(rows: Iterable[tuple[object, object]]) -> Html:
    """Return names and values side by side, under each other on a phone."""
    return element("dl", *(one for name, value in rows for one in (element("dt", name), element("dd", value))))


def picture(png: bytes, alt: str, *, caption: str | Html = "", wide: bool = False) -> Html:
    """Return a PNG as part of the page; a `wide` one keeps its size on a phone and scrolls sideways."""
    data = base64.b64encode(png).decode("ascii")
    image = f'<div class="scroll"><img src="data:image/png;base64,{data}" alt="{escaped(alt)}"></div>'
    return element("figure", Html(image), element("figcaption", caption) if caption else "", kind="wide" * wide)


def figure(markup: Html, caption: str | Html = "") -> Html:
    """Return a drawing with the words under it."""
    return element("figure", markup, element("figcaption", caption) if caption else "")


def tiles(rows: Iterable[tuple[object, object]]) -> Html:
    """Return the few figures that matter, large: a value and what it is."""
    return element(
        "div", *(element("div", element("b", v), element("span", n), kind="tile") for v, n in rows), kind="tiles"
    )


def notices(texts: Iterable[object]) -> Html:
    """Return what a reader should not miss, one a line; nothing where there is nothing."""
    items = [element("li", one) for one in texts]
    return element("ul", *items, kind="notices") if items else Html()


def details(summary: str, *body: str | Html) -> Html:
    """Return what is folded away until it is asked for."""
    return element("details", element("summary", summary), *body)


def swatch(colour: str, name: str) -> Html:
    """Return a class by its colour, `#rrggbb`, and its name."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        return escaped(name)
    return Html(f'<span class="swatch" style="background:{colour}"></span>{escaped(name)}')


def _kind(name: str) -> str:
    return f' class="{html.escape(name)}"' if name else ""
