"""Which images train, which choose the best weights, and which are held out: `python -m benchmarks.nuclei.split`.

Whole fields of view are dealt out, of each image size by itself, in the order of a hash of the field's name: first to
the test until it has a fifth of the images, then to the validation until it has a seventh, the rest to the training.
Sizes with fewer than five images are trained on: too few to be held out. The command writes `split.tsv`, which is
committed, so that the split never changes unseen.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("split.tsv")
SHARES = {"test": 1 / 5, "validation": 1 / 7}
LEAST_IMAGES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image of the set."""

    name: str
    size: str
    """Width x height, as `256x256`."""
    field: str
    """The first name, in order, of the images of its field of view."""
    part: str
    """`train`, `validation` or `test`"""


def deal(sizes: Mapping[str, str], fields: Mapping[str, str]) -> list[Entry]:
    """Return an entry for each image, given its size and its field; a field has images of one size."""
    entries = []
    for size in sorted(set(sizes.values())):
        names = sorted(name for name in sizes if sizes[name] == size)
        waiting = sorted({fields[name] for name in names}, key=_hash)
        for part, share in SHARES.items():
            room = share * len(names) if len(names) >= LEAST_IMAGES else 0.0
            while room > 0:
                field = waiting.pop(0)
                chosen = [name for name in names if fields[name] == field]
                entries += [Entry(name=name, size=size, field=field, part=part) for name in chosen]
                room -= len(chosen)
        rest = [name for name in names if fields[name] in waiting]
        entries += [Entry(name=name, size=size, field=fields[name], part="train") for name in rest]
    return sorted(entries, key=lambda one: one.name)


def _hash(field: str) -> str:
    return hashlib.sha256(f"unetctl nuclei {field}".encode()).hexdigest()


def read_split() -> list[Entry]:
    """Read the committed table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [Entry(**row) for row in csv.DictReader(file, delimiter="\t")]


def write_split(entries: list[Entry]) -> None:
    """Write the table that is committed."""
    lines = ["\t".join(Entry.__slots__), *("\t".join((one.name, one.size, one.field, one.part)) for one in entries)]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main() -> None:
    """Find the fields of the set, deal them out and write the table."""
    from benchmarks.nuclei.fields import fields_of, find_links
    from benchmarks.nuclei.source import read_images

    images = read_images()
    sizes = {name: f"{image.shape[1]}x{image.shape[0]}" for name, image in images.items()}
    entries = deal(sizes, fields_of(images, find_links(images)))
    write_split(entries)
    for part in ("train", "validation", "test"):
        own = [one for one in entries if one.part == part]
        print(f"{part:11}{len(own):4} images of {len({one.field for one in own})} fields")


if __name__ == "__main__":
    main()
