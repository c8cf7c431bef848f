"""Snapshots and scalars of LEAF in a log directory.

They are read through TensorBoard's data provider, which works with the Python loader and with the
Rust data server. If training resumed into the same run, only the newest session counts at each
step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tensorboard import errors
from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.codec.index_codec import decode_index
from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.path import PathRecord
from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME, SnapshotIndex
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.listing import Context, SeriesLister
from tensorboard_plugin_leaf.store.lru_cache import LRUCache
from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags
from tensorboard_plugin_leaf.store.resumed import (
    ScalarPoint,
    StoredSnapshot,
    current_snapshots,
    current_values,
)

MAX_SCALAR_POINTS: Final = 1000

_BLOB_CACHE_BYTES: Final = 2**26
# Size of the JSON, enough for 10 000 snapshots. The decoded objects take about four times as much
# memory.
_INDEX_CACHE_BYTES: Final = 2**25


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Its name.
        snapshots: Its snapshots, sorted by step and name.
        damaged: The message for each damaged snapshot, by tag.
        scalars: The tags of LEAF's scalars.
    """

    name: str
    snapshots: Sequence[StoredSnapshot]
    damaged: Mapping[str, str]
    scalars: Sequence[str]


class LogStore:
    """Snapshots and scalars of LEAF in a data provider.

    Args:
        data_provider: TensorBoard's data provider.
        multiplexer: The multiplexer of the Python loader. ``None`` for the Rust data server.
    """

    def __init__(self, data_provider: Any, multiplexer: Any = None) -> None:
        self._provider = data_provider
        self._lister = SeriesLister(data_provider, multiplexer)
        self._blobs = LRUCache[tuple[str, str, str, int], bytes](_BLOB_CACHE_BYTES)
        # TensorBoard reloads often, and each reload lists all indices again.
        self._indices = LRUCache[bytes, SnapshotIndex](_INDEX_CACHE_BYTES)

    def has_data(self, context: Context) -> bool:
        """Return whether any run has snapshots or scalars of LEAF."""
        return any(self._scalars(context).values()) or any(self._lister.blobs(context).values())

    def runs(self, context: Context) -> list[Run]:
        """Return all runs that have snapshots or scalars of LEAF, in natural order."""
        snapshots = self._lister.blobs(context)
        scalars = self._scalars(context)
        names = {name for runs in (snapshots, scalars) for name, tags in runs.items() if tags}
        return [
            self._run(name, snapshots.get(name, {}), scalars.get(name, []))
            for name in sorted(names, key=natural_order)
        ]

    def path(self, context: Context, run: str, tag: str, index: int) -> PathRecord:
        """Return one path of a snapshot. All pixels of its images are 0.

        :meth:`sheet` returns the images.

        Raises:
            tensorboard.errors.NotFoundError: If the path does not exist or is damaged.
        """
        blob = self._blob(context, run, tag, index)
        try:
            return decode_path(blob, pixels=False)
        except SnapshotError as error:
            raise _not_found(run, tag, index, damage_message(error)) from error

    def sheet(self, context: Context, run: str, tag: str, index: int) -> bytes:
        """Return the PNG sprite sheet of the frames of one path.

        Raises:
            tensorboard.errors.NotFoundError: If the path does not exist, is damaged, or its frames
                are not images.
        """
        blob = self._blob(context, run, tag, index)
        try:
            sheet = read_sheet(blob)
        except SnapshotError as error:
            raise _not_found(run, tag, index, damage_message(error)) from error
        if sheet is None:
            raise _not_found(run, tag, index, "Its frames are signals, not images.")
        return sheet

    def scalars(self, context: Context, run: str, tag: str) -> list[ScalarPoint]:
        """Return the values of a scalar at increasing steps, thinned to ``MAX_SCALAR_POINTS``.

        Raises:
            tensorboard.errors.NotFoundError: If the run has no such scalar, or it is damaged.
        """
        try:
            points = self._read_scalars(context, run, tag)
        # The Python loader also lists scalars with an invalid tensor or without one.
        except (LookupError, TypeError, ValueError) as error:
            raise errors.NotFoundError(
                f"scalar {tag!r} in run {run!r} is damaged ({error!r:.200})."
            ) from error
        if not points:
            raise errors.NotFoundError(f"run {run!r} has no scalar {tag!r}.")
        return current_values(points)

    def _read_scalars(self, context: Context, run: str, tag: str) -> list[ScalarPoint]:
        run_tag_filter = RunTagFilter(runs=[run], tags=[tag])
        arguments = {"experiment_id": context.experiment_id, "plugin_name": "scalars"}
        listed = self._provider.list_scalars(
            context.request, **arguments, run_tag_filter=run_tag_filter
        )
        if not listed.get(run, {}).get(tag):
            return []
        if not self._lister.is_scalar(run, tag):
            raise ValueError("expected one number for each step, got more")
        series = self._provider.read_scalars(
            context.request,
            **arguments,
            downsample=MAX_SCALAR_POINTS,
            run_tag_filter=run_tag_filter,
        )
        data = series.get(run, {}).get(tag, [])
        return [ScalarPoint(datum.step, datum.wall_time, float(datum.value)) for datum in data]

    def _scalars(self, context: Context) -> dict[str, list[str]]:
        return {
            run: monitor_tags(tag for tag, series in tags.items() if series is not None)
            for run, tags in self._lister.scalars(context).items()
        }

    def _run(self, name: str, sequences: Mapping[str, Any], scalars: Sequence[str]) -> Run:
        snapshots: list[StoredSnapshot] = []
        damaged: dict[str, str] = {}
        for tag, sequence in sorted(sequences.items()):
            # The Python loader keeps the tags of events that it has purged.
            if sequence is not None and sequence.max_step is None:
                continue
            try:
                index = self._index(sequence)
            except SnapshotError as error:
                damaged[tag] = damage_message(error)
            else:
                snapshots.append(StoredSnapshot(tag, sequence.max_wall_time, index))
        return Run(name, current_snapshots(snapshots), damaged, scalars)

    def _index(self, sequence: Any) -> SnapshotIndex:
        if sequence is None:
            raise SnapshotError("the event has no tensor.")
        content = sequence.plugin_content
        index = self._indices.get(content)
        if index is None:
            index = decode_index(content)
            self._indices.put(content, index, len(content))
        if len(index.paths) != sequence.max_length:
            raise SnapshotError(
                f"the index lists {len(index.paths)} paths, the event has {sequence.max_length}."
            )
        return index

    def _blob(self, context: Context, run: str, tag: str, index: int) -> bytes:
        key = (context.experiment_id, run, tag, index)
        blob = self._blobs.get(key)
        if blob is None:
            blob = self._read_blob(context, run, tag, index)
            self._blobs.put(key, blob, len(blob))
        return blob

    def _read_blob(self, context: Context, run: str, tag: str, index: int) -> bytes:
        self._check_listed(context, run, tag, index)
        sequences = self._provider.read_blob_sequences(
            context.request,
            experiment_id=context.experiment_id,
            plugin_name=PLUGIN_NAME,
            downsample=1,
            run_tag_filter=RunTagFilter(runs=[run], tags=[tag]),
        )
        data = sequences.get(run, {}).get(tag, [])
        if not data:
            raise errors.NotFoundError(f"run {run!r} has no snapshot {tag!r}.")
        references = data[-1].values
        if index >= len(references):
            raise _not_found(run, tag, index, f"The snapshot has {len(references)} paths.")
        try:
            blob = self._provider.read_blob(context.request, blob_key=references[index].blob_key)
        except errors.InvalidArgumentError as error:
            why = (
                "If the name of the run or tag has quotes or backslashes, start TensorBoard with "
                f"`--load_fast=false` ({error})."
            )
            raise _not_found(run, tag, index, why) from error
        # The Python loader parses the tensor here. Damaged ones raise various errors.
        except (LookupError, TypeError, ValueError) as error:
            why = damage_message(SnapshotError(f"reading the event raised {error!r:.200}"))
            raise _not_found(run, tag, index, why) from error
        if not isinstance(blob, bytes):
            raise _not_found(
                run, tag, index, damage_message(SnapshotError("the event has no bytes"))
            )
        return blob

    def _check_listed(self, context: Context, run: str, tag: str, index: int) -> None:
        sequence = self._lister.blob(context, run, tag)
        if sequence is None:
            raise errors.NotFoundError(f"run {run!r} has no snapshot {tag!r}.")
        # The Python loader creates one reference for each element that a tensor declares.
        try:
            self._index(sequence)
        except SnapshotError as error:
            raise _not_found(run, tag, index, damage_message(error)) from error


def natural_order(name: str) -> list[str | int]:
    """Return a sorting key that puts ``version_2`` before ``version_10``.

    Example:
        >>> from tensorboard_plugin_leaf.store.log_store import natural_order
        >>> sorted(["version_10", "version_2"], key=natural_order)
        ['version_2', 'version_10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _not_found(run: str, tag: str, index: int, why: str) -> Exception:
    error: Exception = errors.NotFoundError(
        f"path {index} of snapshot {tag!r} in run {run!r}. {why}"
    )
    return error
