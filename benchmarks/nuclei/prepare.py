"""Make a project of the nuclei: `python -m benchmarks.nuclei.prepare FOLDER`.

Writes FOLDER/images and FOLDER/labels, in which `train_`, `validation_` or `test_` stands before each name, and
FOLDER/unetctl.toml, a copy of the committed `nuclei.toml` beside this module.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import imagecodecs

from benchmarks.nuclei.source import image_files, label_file, to_gray
from benchmarks.nuclei.split import read_split

CONFIG = Path(__file__).with_name("nuclei.toml")


def prepare(folder: Path) -> Counter[str]:
    """Write the project into a new folder, and return how many images each part has."""
    files, entries = image_files(), read_split()
    if files.keys() != {one.name for one in entries}:
        differ = sorted(files.keys() ^ {one.name for one in entries})
        sys.exit(f"the images are not those of split.tsv: {len(differ)} differ, the first is {differ[0]}")
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for one in entries:
        gray = to_gray(imagecodecs.imread(files[one.name]), one.name)
        name = f"{one.part}_{one.name}.png"
        (folder / "images" / name).write_bytes(imagecodecs.png_encode(gray))
        (folder / "labels" / name).write_bytes(label_file(files[one.name]).read_bytes())
    (folder / "unetctl.toml").write_bytes(CONFIG.read_bytes())
    return Counter(one.part for one in entries)


def main() -> None:
    """Prepare the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.nuclei.prepare FOLDER")
    folder = Path(sys.argv[1])
    if folder.exists():
        sys.exit(f"{folder} exists; name a new folder")
    parts = prepare(folder)
    print(
        f"{folder}: {', '.join(f'{count} {part}' for part, count in parts.items())}\nnext: cd {folder}; unetctl train"
    )


if __name__ == "__main__":
    main()
