"""Where a run begins: with nothing, or where one that was stopped left off.

    typed as before        what was left is checked, and the rest is computed, in the tiles of then
    typed otherwise        refused if there are finished tiles: they would be lost, or mixed with others
    with restart           what was left is removed

"As before" is `RunIdentity`, all that decides labels; but batch and streams follow from memory and tuning, as the tiles
do, and are kept as they do. What is damaged is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from unetctl.runtime.chunks import ChunkGrid
from unetctl.runtime.errors import OutputError, ResourceError, UnetctlError, UsageError
from unetctl.runtime.found_chunks import find_chunks, forget_damaged, forget_parts
from unetctl.runtime.outcome import PutAsideError
from unetctl.runtime.places import ChunkPlaces
from unetctl.runtime.plan import Batch
from unetctl.runtime.report import ContinuedReport
from unetctl.runtime.run import Run, prepare
from unetctl.runtime.run_folder import RunFolder, has_work
from unetctl.runtime.run_identity import RunIdentity, differences
from unetctl.runtime.run_record import RECORD, RunRecord, read_record, write_record
from unetctl.runtime.statistics import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a run begins with."""

    run: Run
    """In the tiles of the run that is continued."""
    places: ChunkPlaces
    """The chunks that are there, at first those of whole batches; whoever adds others notes them here."""
    report: ContinuedReport | None = None
    """What is there; None if nothing is."""
    statistics: tuple[Statistics, ...] | None = None
    """Of the whole image, if they were measured."""
    keep_statistics: Callable[[Sequence[Statistics]], None] = lambda _: None
    """What is done with them if they are measured now."""

    def is_done(self, plane: int, batch: Batch) -> bool:
        """Tell whether all chunks of a batch are there."""
        return all(self.places.has(plane, tile.write) for tile in batch.tiles)


def look(path: Path, output: Path, run: Run, identity: RunIdentity | None, *, verified: bool = True) -> Beginning:
    """Work out where `run` would begin with what is in its folder `path`; nothing there is changed.

    Unless `verified`, data is taken for what the journal says. Raises `UsageError` for finished tiles of other
    settings, `OutputError` if it cannot be told whose they are, and `ResourceError` if their tiles no longer fit.
    """
    info = run.source.info
    anew = Beginning(run=run, places=ChunkPlaces(ChunkGrid(planes=info.planes, image_yx=(info.height, info.width))))
    if not has_work(path):
        if identity is not None and (path / RECORD).exists():
            return replace(anew, statistics=_statistics(path, identity))
        return anew
    record = read_record(path)
    places = whole_batches(path, record, verified=verified)
    tiles = places.tiles_there(record.tiles)
    if identity is not None:
        identity = _kept(identity, record.identity)
    if identity == record.identity:
        if not tiles:
            return replace(anew, statistics=record.statistics)
        run = _again(run, record)
        return Beginning(run=run, places=places, report=_report(places, run, tiles), statistics=record.statistics)
    if not tiles:
        return anew
    others = differences(record.identity, identity) if identity is not None else ["the image is no file now"]
    raise UsageError(
        f"{output} was begun otherwise, and {tiles:,} of its {record.total_tiles:,} tiles are done",
        cause="; ".join(others),
        saved="nothing is lost: all of it is still there",
        hint=f"type it as before to go on ({record.command or 'the same command'}), "
        "or add --restart to discard what is done and begin anew",
    )


def whole_batches(path: Path, record: RunRecord, *, verified: bool = True) -> ChunkPlaces:
    """Return the chunks of whole batches in a run folder; unless `verified`, by its journal alone."""
    planes, _, height, width = record.identity.shape
    places = find_chunks(path, ChunkGrid(planes=planes, image_yx=(height, width)))
    if verified:
        forget_damaged(path, places)
    forget_parts(places, record.tiles, record.identity.batch)
    return places


def begin(
    folder: RunFolder, output: Path, run: Run, identity: RunIdentity | None, *, restart: bool, command: str
) -> Beginning:
    """Make a run folder ready for `run`: what is of use stays in it, all else is removed. Raises as `look`."""
    if restart:
        folder.clear()
    beginning = look(folder.path, output, run, identity)
    folder.clear(work=beginning.report is None)
    if identity is None or beginning.report is not None:
        return beginning
    record = RunRecord(
        identity=identity, tiles=beginning.run.memory.tiles, statistics=beginning.statistics, command=command
    )
    write_record(folder.path, record)

    def keep_statistics(statistics: Sequence[Statistics]) -> None:
        write_record(folder.path, replace(record, statistics=tuple(statistics)))

    return replace(beginning, keep_statistics=keep_statistics)


@contextmanager
def kept_if_it_fails(folder: RunFolder, beginning: Beginning, *, restarted: bool) -> Iterator[None]:
    """Let the folder outlive an error of the body if a tile is complete, and say so with the error."""
    try:
        yield
    except PutAsideError:
        folder.has_work = False
        raise
    except BaseException as error:
        tiles, places = beginning.run.memory.tiles, beginning.places
        done, total = places.tiles_there(tiles), len(tiles) * places.grid.planes
        folder.has_work = done > 0 and not folder.is_published and (folder.path / RECORD).exists()
        if folder.has_work:
            again = "the same command without --restart" if restarted else "the same command"
            _say(error, f"{done:,} of {total:,} tiles; {again} goes on from there")
        raise


def _say(error: BaseException, saved: str) -> None:
    """Put what is saved where whoever shows the error looks for it: others than ours carry notes."""
    if isinstance(error, UnetctlError):
        error.saved = f"{saved}; {error.saved}" if error.saved else saved
    else:
        error.add_note(saved)


def _report(places: ChunkPlaces, run: Run, tiles: int) -> ContinuedReport:
    plan, planes = run.memory.tiles, run.source.info.planes
    windows = ((plane, one.write) for plane in range(planes) for one in plan.tiles())
    pixels = sum(window.height * window.width for plane, window in windows if places.has(plane, window))
    return ContinuedReport(tiles=tiles, total_tiles=len(plan) * planes, pixels=pixels)


def _statistics(path: Path, identity: RunIdentity) -> tuple[Statistics, ...] | None:
    """Return what was measured by a run that was stopped before its first tile, if it was this one."""
    try:
        record = read_record(path)
    except OutputError:
        return None
    return record.statistics if record.identity == _kept(identity, record.identity) else None


def _kept(now: RunIdentity, before: RunIdentity) -> RunIdentity:
    """Return `now` with what a run that goes on keeps, whatever memory and tuning would have it be."""
    return replace(now, batch=before.batch, streams=before.streams)


def _again(run: Run, record: RunRecord) -> Run:
    """Return `run` in the tiles that it was begun in, in batches as then; memory and tuning may have changed since."""
    now, before = run.resources.tiles, record.identity
    slots = max(now.slots, before.streams + 2)  # one is being filled and one drained
    kept = replace(now, batch=before.batch, streams=before.streams, slots=slots)
    if (run.memory.tiles, now.batch, now.streams) == (record.tiles, kept.batch, kept.streams):
        return run
    resources = replace(run.resources, tiles=kept)
    try:
        return prepare(run.source, run.model, run.engine, resources, blank=run.blank, tiles=record.tiles)
    except ResourceError as error:
        error.hint += "; or --restart, which discards what is done and begins anew in smaller tiles"
        raise
