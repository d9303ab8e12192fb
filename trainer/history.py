"""The course of a run, one row a step: `history.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unetctl.runtime.errors import DataError
from unetctl.runtime.system import write_atomically

STEP_COLUMNS = ("step", "loss", "learning_rate")
SCORE_COLUMNS = ("validation_loss", "mean_dice", "pixel_error")


@dataclass(slots=True, kw_only=True)
class History:
    """Losses of all steps and scores of those after which the network was validated."""

    class_names: tuple[str, ...]
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, loss, learning rate."""
    scores: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """By step: `SCORE_COLUMNS`, then the Dice of each class; NaN for a class that did not occur."""

    @property
    def columns(self) -> Sequence[str]:
        """The first line of the file."""
        return (*STEP_COLUMNS, *SCORE_COLUMNS, *(f"dice {name}" for name in self.class_names))

    def write(self, path: Path) -> None:
        """Write all rows; steps without validation leave its columns empty."""
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(self.columns)
        for step, loss, rate in self.losses:
            scores = self.scores.get(step)
            blank = [""] * (len(self.columns) - len(STEP_COLUMNS))
            rows.writerow([step, repr(loss), repr(rate), *([repr(one) for one in scores] if scores else blank)])
        write_atomically(path, text.getvalue().encode())

    def read(self, path: Path, last_step: int) -> None:
        """Take the rows up to `last_step` of a run that is continued. Raises `DataError`."""
        try:
            rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
            if rows[0] != list(self.columns):
                raise ValueError("it has other columns")
            for row in rows[1 : last_step + 1]:
                step = int(row[0])
                self.losses.append((step, float(row[1]), float(row[2])))
                if row[3]:
                    self.scores[step] = tuple(map(float, row[3:]))
            if len(self.losses) != last_step:
                raise ValueError(f"it holds {len(self.losses)} steps of {last_step}")
        except (OSError, ValueError, IndexError) as error:
            raise DataError(
                f"{path} cannot be continued", cause=str(error), hint="train anew, under another --run"
            ) from error
