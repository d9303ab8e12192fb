"""The main job from end to end: `make demo`, or `python -m benchmarks.demo`.

Makes a project with a few annotated images and a slide of 8192 x 8192, types `unetctl train`, `unetctl export` and
`unetctl segment slide.tif` in it, and measures the result against what is known to be on the slide. Then a slide of
nuclei is segmented by the model that comes with unetctl, without training.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import demo_data, demo_nuclei, demo_score

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "demo"
MARK = FOLDER / ".made-by-make-demo"

SETTINGS = (
    ("network", "depth", "3"),
    ("network", "base_channels", "16"),
    ("network", "dropout", "0.2"),
    ("train", "steps", "800"),
)
"""What the demo sets in unetctl.toml, so that two cores need minutes: section, key and value."""


def say(text: str) -> None:
    """Print a line between the commands."""
    print(f"\n# {text}", flush=True)


def type_command(*arguments: str, folder: Path) -> None:
    """Show a unetctl command as a person would type it, and run it in `folder` with the terminal as its own."""
    print(f"\n$ unetctl {' '.join(arguments)}", flush=True)
    program = Path(sys.executable).with_name("unetctl")
    ended = subprocess.run([program, *arguments], cwd=folder)
    if ended.returncode:
        sys.exit(f"the demo stops here: unetctl {arguments[0]} ended with {ended.returncode}")


def make_folder() -> None:
    """Make room for the demo; a folder that it has not made itself stays as it is."""
    if FOLDER.exists() and not MARK.exists():
        sys.exit(f"{FOLDER} was not made by the demo; move it away, or remove it")
    if FOLDER.exists():
        shutil.rmtree(FOLDER)


def set_settings(config: Path) -> None:
    """Write the demo's settings and classes into the unetctl.toml that `unetctl init` made."""
    text = config.read_text(encoding="utf-8")
    for section, key, value in SETTINGS:
        found = re.compile(rf"^(?:# )?{key} = \S+", re.MULTILINE).search(text, text.index(f"[{section}]"))
        if found is None:
            sys.exit(f"unetctl.toml has no {key} in [{section}]")
        text = text[: found.start()] + f"{key} = {value}".ljust(len(found[0])) + text[found.end() :]
    classes = "\n".join(f'[[classes]]\nname = "{name}"\ncolour = "{colour}"\n' for name, colour in demo_data.CLASSES)
    text = text.replace("\n[network]\n", f"\n{classes}\n[network]\n")
    text = text.replace('# background = "outside"', f'background = "{demo_data.CLASSES[0][0]}"')
    config.write_text(text, encoding="utf-8")


def show_score(scores: list[demo_score.Score]) -> None:
    """Print the measures as a table."""
    print(f"\n{'':18}{'':22}{'Dice':>8}{'IoU':>8}")
    for one in scores:
        for name, dice, iou in zip(one.classes, one.dice, one.iou, strict=True):
            print(f"{one.name:18}{name:22}{dice:8.3f}{iou:8.3f}")


def show_nuclei() -> None:
    """Segment a slide of nuclei with the built-in model, measure it and draw it."""
    slide, truth, result = (FOLDER / name for name in ("nuclei.tif", "nuclei_truth.tif", "nuclei.labels.ome.tif"))
    count = demo_nuclei.write_nuclei(slide, truth)
    say(f"another slide, of {count:,} nuclei in fluorescence, and no training: the model that comes with unetctl")
    type_command("segment", slide.name, "--model", "nuclei", folder=FOLDER)
    print(f"\n{'':18}{'Dice':>8}{'AP at IoU 0.5':>15}{'found':>8}{'missed':>8}{'invented':>10}")
    for one in demo_nuclei.score_nuclei(slide, truth, result):
        found, missed, invented = one.at_half
        print(f"{one.name:18}{one.dice:8.3f}{one.ap50:15.3f}{found:8,}{missed:8,}{invented:10,}")
    picture = FOLDER / "nuclei.png"
    demo_nuclei.draw_nuclei(slide, truth, result, picture)
    print(f"\n{os.path.relpath(picture)}   a picture of it\n{os.path.relpath(result)}   the labels")


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    make_folder()
    say("a project, and what a laboratory would bring: 12 annotated images, and a slide of 8192 x 8192 px")
    type_command("init", FOLDER.name, folder=ROOT)
    MARK.touch()
    slide, truth = FOLDER / "slide.tif", FOLDER / "slide_truth.tif"
    demo_data.write_training(FOLDER / "data")
    demo_data.write_slide(slide, truth)
    set_settings(FOLDER / "unetctl.toml")
    changed = ", ".join(f"{key} = {value}" for _, key, value in SETTINGS)
    say(f"all is made ({time.monotonic() - started:.0f} s). In unetctl.toml: the classes, and {changed}")

    say(f"the three commands, in {os.path.relpath(FOLDER)}/")
    type_command("train", folder=FOLDER)
    type_command("export", folder=FOLDER)
    type_command("segment", slide.name, folder=FOLDER)

    say("the whole slide against what is known to be on it")
    result = FOLDER / "slide.labels.ome.tif"
    show_score(demo_score.score(slide, truth, result))
    picture = FOLDER / "result.png"
    demo_score.draw(slide, truth, result, picture)
    print(f"\n{os.path.relpath(picture)}   a picture of it\n{os.path.relpath(result)}   the labels")
    show_nuclei()
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f"\n{minutes} min {seconds} s in all")


if __name__ == "__main__":
    main()
