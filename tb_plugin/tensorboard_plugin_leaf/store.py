"""What a log directory holds for the LEAF tab, read through TensorBoard's data provider.

Works with the Python loader and the Rust data server alike. Where training was resumed into the
same run, only the newest account of each step is shown.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Final, NamedTuple

from tensorboard import errors
from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.encoding import decode_index, decode_path, read_sheet
from tensorboard_plugin_leaf.snapshot import (
    PLUGIN_NAME,
    PathRecord,
    SnapshotError,
    SnapshotIndex,
)

MAX_SCALAR_POINTS: Final = 1000

_MONITORED = re.compile(
    r"(?P<prefix>.+)/(trace_mean|trace_median|trace_ratio|tangent_dimension|effective_rank_\w+)"
)
_BLOB_CACHE_BYTES: Final = 2**26

# Listing decodes every index again each time that TensorBoard reloads.
_decode_index = lru_cache(maxsize=4096)(decode_index)


class Context(NamedTuple):
    """On whose behalf data is read: TensorBoard's request context and experiment."""

    request: Any
    experiment_id: str


@dataclass(frozen=True)
class StoredSnapshot:
    """A snapshot in a run, with the wall time at which it was written."""

    tag: str
    wall_time: float
    index: SnapshotIndex


@dataclass(frozen=True)
class Run:
    """What one run holds: snapshots, messages of damaged ones by tag, tags of LEAF scalars."""

    name: str
    snapshots: Sequence[StoredSnapshot]
    damaged: Mapping[str, str]
    scalars: Sequence[str]


class Point(NamedTuple):
    """One value of a scalar."""

    step: int
    wall_time: float
    value: float


class Store:
    """Snapshots and scalars of LEAF in a data provider."""

    def __init__(self, data_provider: Any) -> None:
        self._provider = data_provider
        self._blobs = BlobCache(_BLOB_CACHE_BYTES)

    def has_data(self, context: Context) -> bool:
        """Whether any run has snapshots or scalars of LEAF."""
        return any(self._scalars(context).values()) or bool(self._list_blobs(context))

    def runs(self, context: Context) -> list[Run]:
        """All runs that have snapshots or scalars of LEAF, in natural order."""
        snapshots = self._list_blobs(context)
        scalars = self._scalars(context)
        names = {*snapshots, *(name for name, tags in scalars.items() if tags)}
        return [
            _run(name, snapshots.get(name, {}), scalars.get(name, []))
            for name in sorted(names, key=natural_order)
        ]

    def path(self, context: Context, run: str, tag: str, index: int) -> PathRecord:
        """One path of a snapshot.

        Raises:
            tensorboard.errors.NotFoundError: If there is none, or it is damaged.
        """
        blob = self._blob(context, run, tag, index)
        try:
            return decode_path(blob)
        except SnapshotError as error:
            raise _not_found(run, tag, index, str(error)) from error

    def sheet(self, context: Context, run: str, tag: str, index: int) -> bytes:
        """The PNG sheet of the frames of one path.

        Raises:
            tensorboard.errors.NotFoundError: If there is none, or it is damaged.
        """
        blob = self._blob(context, run, tag, index)
        try:
            sheet = read_sheet(blob)
        except SnapshotError as error:
            raise _not_found(run, tag, index, str(error)) from error
        if sheet is None:
            raise _not_found(run, tag, index, "Its frames are signals, not images.")
        return sheet

    def scalars(self, context: Context, run: str, tag: str) -> list[Point]:
        """The values of a scalar at increasing steps, thinned to `MAX_SCALAR_POINTS`.

        Raises:
            tensorboard.errors.NotFoundError: If the run has no such scalar.
        """
        try:
            found = self._provider.read_scalars(
                context.request,
                experiment_id=context.experiment_id,
                plugin_name="scalars",
                downsample=MAX_SCALAR_POINTS,
                run_tag_filter=RunTagFilter(runs=[run], tags=[tag]),
            )
            data = found.get(run, {}).get(tag, [])
            points = [Point(datum.step, datum.wall_time, float(datum.value)) for datum in data]
        # The Python loader takes any tensor that calls itself a scalar.
        except (TypeError, ValueError) as error:
            raise errors.NotFoundError(
                f"scalar {tag!r} in run {run!r} is damaged ({error!r:.200})."
            ) from error
        if not points:
            raise errors.NotFoundError(f"run {run!r} has no scalar {tag!r}.")
        return newest_values(points)

    def _list_blobs(self, context: Context) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self._provider.list_blob_sequences(
            context.request, experiment_id=context.experiment_id, plugin_name=PLUGIN_NAME
        )
        return found

    def _scalars(self, context: Context) -> dict[str, list[str]]:
        found = self._provider.list_scalars(
            context.request, experiment_id=context.experiment_id, plugin_name="scalars"
        )
        return {run: monitored(tags) for run, tags in found.items()}

    def _blob(self, context: Context, run: str, tag: str, index: int) -> bytes:
        key = (context.experiment_id, run, tag, index)
        blob = self._blobs.get(key)
        if blob is None:
            blob = self._read_blob(context, run, tag, index)
            self._blobs.put(key, blob)
        return blob

    def _read_blob(self, context: Context, run: str, tag: str, index: int) -> bytes:
        found = self._provider.read_blob_sequences(
            context.request,
            experiment_id=context.experiment_id,
            plugin_name=PLUGIN_NAME,
            downsample=1,
            run_tag_filter=RunTagFilter(runs=[run], tags=[tag]),
        )
        data = found.get(run, {}).get(tag, [])
        if not data:
            raise errors.NotFoundError(f"run {run!r} has no snapshot {tag!r}.")
        references = data[-1].values
        if index >= len(references):
            raise _not_found(run, tag, index, f"The snapshot has {len(references)} paths.")
        try:
            blob = self._provider.read_blob(context.request, blob_key=references[index].blob_key)
        # The Python loader parses the tensor only now; a damaged one raises what it may.
        except (LookupError, TypeError, ValueError) as error:
            raise _not_found(run, tag, index, f"Its event is damaged ({error!r:.200}).") from error
        if not isinstance(blob, bytes):
            raise _not_found(run, tag, index, "Its event is damaged: it holds no bytes.")
        return blob


class BlobCache:
    """The blobs that were read last, up to a total size. Safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._blobs: OrderedDict[tuple[str, str, str, int], bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, str, str, int]) -> bytes | None:
        with self._lock:
            if key in self._blobs:
                self._blobs.move_to_end(key)
            return self._blobs.get(key)

    def put(self, key: tuple[str, str, str, int], blob: bytes) -> None:
        with self._lock:
            self._bytes += len(blob) - len(self._blobs.pop(key, b""))
            self._blobs[key] = blob
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._blobs.popitem(last=False)[1])


def monitored(tags: Iterable[str]) -> list[str]:
    """The sorted tags that a monitor of LEAF wrote: known names beside both of
    `<prefix>/trace_mean` and `<prefix>/tangent_dimension`."""
    tags = set(tags)
    matches = {tag: match["prefix"] for tag in tags if (match := _MONITORED.fullmatch(tag))}
    return sorted(
        tag
        for tag, prefix in matches.items()
        if {f"{prefix}/trace_mean", f"{prefix}/tangent_dimension"} <= tags
    )


def newest_snapshots(snapshots: Iterable[StoredSnapshot]) -> list[StoredSnapshot]:
    """The snapshots of one run that no newer session has superseded, by step and name.

    A session that starts at step s, of a callback's name, supersedes what older sessions of the
    same name said of steps s and later: that training was undone by resuming from s.
    """
    snapshots = list(snapshots)

    def superseded(old: SnapshotIndex) -> bool:
        return any(
            new.index.name == old.name
            and new.index.session > old.session
            and new.index.session_start_step <= old.step
            for new in newest_of_session
        )

    # One snapshot speaks for its session, or this would be quadratic in their number.
    newest_of_session = {
        (stored.index.name, stored.index.session): stored for stored in snapshots
    }.values()
    return sorted(
        (stored for stored in snapshots if not superseded(stored.index)),
        key=lambda stored: (stored.index.step, stored.index.name, stored.tag),
    )


def newest_values(points: Iterable[Point]) -> list[Point]:
    """The points, in the order in which they were written, without those that were undone.

    Where a step goes back, training was resumed: earlier points from that step on are dropped.
    """
    kept: list[Point] = []
    for point in points:
        while kept and kept[-1].step >= point.step:
            kept.pop()
        kept.append(point)
    return kept


def natural_order(name: str) -> list[str | int]:
    """Sorting key in which `version_2` comes before `version_10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _run(name: str, sequences: Mapping[str, Any], scalars: Sequence[str]) -> Run:
    snapshots: list[StoredSnapshot] = []
    damaged: dict[str, str] = {}
    for tag, sequence in sorted(sequences.items()):
        # The Python loader remembers tags whose events it has purged since.
        if sequence.max_step is None:
            continue
        try:
            index = _decode_index(sequence.plugin_content)
            if len(index.paths) != sequence.max_length:
                raise SnapshotError(
                    f"The snapshot is damaged: its index lists {len(index.paths)} paths, its "
                    f"event holds {sequence.max_length}."
                )
        except SnapshotError as error:
            damaged[tag] = str(error)
        else:
            snapshots.append(StoredSnapshot(tag, sequence.max_wall_time, index))
    return Run(name, newest_snapshots(snapshots), damaged, scalars)


def _not_found(run: str, tag: str, index: int, why: str) -> Exception:
    error: Exception = errors.NotFoundError(
        f"path {index} of snapshot {tag!r} in run {run!r}. {why}"
    )
    return error
