"""Which images show one field of view: `python -m benchmarks.nuclei.fields PICTURE.png` finds and draws them.

The set was cut from larger exposures, and its names say nothing of that. What continues or overlaps another image,
directly or through others, is one field. Tiles that meet at a corner only, or whose neighbour is not in the set, cannot
be found; they share no nucleus.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.nuclei.overlaps import Overlap, find_overlaps
from benchmarks.nuclei.seams import Seam, find_seams

Link = Seam | Overlap


def find_links(images: Mapping[str, NDArray[np.uint8]]) -> list[Link]:
    """Return what links images `[H, W]`; only those of one shape are compared."""
    shapes: dict[tuple[int, ...], dict[str, NDArray[np.uint8]]] = {}
    for name, image in sorted(images.items()):
        shapes.setdefault(image.shape, {})[name] = image
    return [link for same in shapes.values() for link in (*find_seams(same), *find_overlaps(same))]


def fields_of(names: Iterable[str], links: Sequence[Link]) -> dict[str, str]:
    """Return for each image the name of its field: the first, in order, of the images that it is linked with."""
    field = {name: name for name in names}
    for link in links:
        keep, drop = sorted((field[link.first], field[link.second]))
        field = {name: keep if one == drop else one for name, one in field.items()}
    return field


def draw_links(images: Mapping[str, NDArray[np.uint8]], links: Sequence[Link], picture: Path) -> None:
    """Draw linked images as they join, for a person to judge."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    columns = 5
    rows = max(1, -(-len(links) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 3 * rows), layout="constrained", squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, link in zip(axes.ravel(), links, strict=False):
        below = isinstance(link, Seam) and link.below
        joined = np.concatenate([images[link.first], images[link.second]], axis=0 if below else 1).astype(np.float64)
        low, high = np.percentile(joined, (0.5, 99.7))
        axis.imshow(np.clip((joined - low) / (high - low + 1e-9), 0, 1) ** 0.5, cmap="gray")
        axis.set_title(f"{link.first[:6]} {link.second[:6]}: {link.correlation:.2f}", fontsize=9)
    figure.savefig(picture, dpi=80)
    plt.close(figure)


def main() -> None:
    """Find the fields of the set and draw the links into the picture named on the command line."""
    from benchmarks.nuclei.source import read_images

    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.nuclei.fields PICTURE.png")
    images = read_images()
    links = find_links(images)
    for link in sorted(links, key=lambda one: -one.correlation):
        kind, step = ("seam", f"{link.step:.2f}") if isinstance(link, Seam) else ("overlap", "")
        print(f"{kind:9}{link.first[:12]}  {link.second[:12]}  correlation {link.correlation:.3f}  {step:>5}")
    print(f"{len(images)} images of {len(set(fields_of(images, links).values()))} fields")
    draw_links(images, links, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
