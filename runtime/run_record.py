"""What a run is, written into its folder before its first chunk: `run.json`.

    identity      all that decides labels, but for the tiles: a run goes on only if every word of it is the same
    tiles         how the image was cut; a run that goes on keeps them, whatever the memory allows by now
    statistics    of the whole image, where the model needs them: measured once, as exact as they were (hexadecimal)
    command       what to type to go on

The whole is checksummed: a flipped digit of a mean would be a wrong result that nobody sees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unetctl.runtime.errors import OutputError
from unetctl.runtime.plan import TilePlan
from unetctl.runtime.run_identity import RunIdentity
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.system import sync_folder, write_atomically

FORMAT_VERSION = 1
RECORD = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run: what it is, how it was cut, and what was measured for it."""

    identity: RunIdentity
    tiles: TilePlan
    statistics: tuple[Statistics, ...] | None = None
    """Of each plane; None if they are not needed, or not measured yet."""
    command: str = ""

    @property
    def total_tiles(self) -> int:
        """Tiles of all planes."""
        return len(self.tiles) * self.identity.shape[0]


def write_record(folder: Path, record: RunRecord) -> None:
    """Write `record` into a run folder; afterwards it is whole, or what it was before, even if the power fails.

    Only a run of a single tile is not worth that: syncing takes 20 ms, and there is nothing to go on with.
    """
    statistics = record.statistics
    content = {
        "format_version": FORMAT_VERSION,
        "identity": asdict(record.identity),
        "tiles": asdict(record.tiles),
        "statistics": None if statistics is None else [_exact(one) for one in statistics],
        "command": record.command,
    }
    data = json.dumps({**content, "sha256": _checksum(content)}, indent=1).encode()
    if record.total_tiles == 1:
        (folder / RECORD).write_bytes(data)
    else:
        write_atomically(folder / RECORD, data)
        sync_folder(folder.parent)


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run folder. Raises `OutputError` where it is absent, damaged or of another version."""
    try:
        content = json.loads((folder / RECORD).read_bytes())
        found = content.pop("sha256")
        if found != _checksum(content):
            raise ValueError("its checksum does not fit")
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"it is of version {content['format_version']}, and this unetctl knows {FORMAT_VERSION}")
        statistics = content["statistics"]
        return RunRecord(
            identity=RunIdentity.from_values(content["identity"]),
            tiles=TilePlan(**{name: _tuple(value) for name, value in content["tiles"].items()}),
            statistics=None if statistics is None else tuple(_statistics(one) for one in statistics),
            command=content["command"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(
            f"{folder} holds what a stopped run computed, and it cannot be continued",
            cause=f"what that run was is in {RECORD}, which cannot be read: {_reason(error)}",
            saved="all of it is still there",
            hint="--restart discards it and begins anew, --output FILE leaves it alone",
        ) from error


def _exact(statistics: Statistics) -> dict[str, list[str]]:
    return {
        "shift": [float(one).hex() for one in statistics.shift],
        "scale": [float(one).hex() for one in statistics.scale],
    }


def _statistics(values: Mapping[str, Sequence[str]]) -> Statistics:
    shift, scale = (tuple(float.fromhex(one) for one in values[name]) for name in ("shift", "scale"))
    return Statistics(shift=shift, scale=scale)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is not there, as in folders of earlier versions"
    return str(error) if isinstance(error, ValueError) and not isinstance(error, UnicodeError) else "it is damaged"
