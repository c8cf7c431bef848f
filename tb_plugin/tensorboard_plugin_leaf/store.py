"""What a log directory holds for the LEAF tab, read through TensorBoard's data provider.

Works with the Python loader and the Rust data server alike. Where training was resumed into the
same run, only the newest account of each step is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tensorboard import errors
from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.cache import Cache
from tensorboard_plugin_leaf.damage import damage_text
from tensorboard_plugin_leaf.encoding import decode_index, decode_path, read_sheet
from tensorboard_plugin_leaf.resumed import (
    Point,
    StoredSnapshot,
    newest_snapshots,
    newest_values,
)
from tensorboard_plugin_leaf.series import Context, SeriesLister
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
# Of many classes the tangent dimension is not known.
_SIGNATURES = (("trace_mean", "tangent_dimension"), ("trace_mean", "trace_standard_error"))
_BLOB_CACHE_BYTES: Final = 2**26
# Of JSON; what is made of it takes about four times as much. Enough for 10 000 snapshots.
_INDEX_CACHE_BYTES: Final = 2**25


@dataclass(frozen=True)
class Run:
    """What one run holds: snapshots, messages of damaged ones by tag, tags of LEAF scalars."""

    name: str
    snapshots: Sequence[StoredSnapshot]
    damaged: Mapping[str, str]
    scalars: Sequence[str]


class Store:
    """Snapshots and scalars of LEAF in a data provider."""

    def __init__(self, data_provider: Any, multiplexer: Any = None) -> None:
        self._provider = data_provider
        self._lister = SeriesLister(data_provider, multiplexer)
        self._blobs = Cache[tuple[str, str, str, int], bytes](_BLOB_CACHE_BYTES)
        # Listing meets every index again each time that TensorBoard reloads.
        self._indices = Cache[bytes, SnapshotIndex](_INDEX_CACHE_BYTES)

    def has_data(self, context: Context) -> bool:
        """Whether any run has snapshots or scalars of LEAF."""
        return any(self._scalars(context).values()) or any(self._lister.blobs(context).values())

    def runs(self, context: Context) -> list[Run]:
        """All runs that have snapshots or scalars of LEAF, in natural order."""
        snapshots = self._lister.blobs(context)
        scalars = self._scalars(context)
        names = {name for found in (snapshots, scalars) for name, tags in found.items() if tags}
        return [
            self._run(name, snapshots.get(name, {}), scalars.get(name, []))
            for name in sorted(names, key=natural_order)
        ]

    def path(self, context: Context, run: str, tag: str, index: int) -> PathRecord:
        """One path of a snapshot; its images, which `sheet` holds, are black.

        Raises:
            tensorboard.errors.NotFoundError: If there is none, or it is damaged.
        """
        blob = self._blob(context, run, tag, index)
        try:
            return decode_path(blob, pixels=False)
        except SnapshotError as error:
            raise _not_found(run, tag, index, damage_text(error)) from error

    def sheet(self, context: Context, run: str, tag: str, index: int) -> bytes:
        """The PNG sheet of the frames of one path.

        Raises:
            tensorboard.errors.NotFoundError: If there is none, or it is damaged.
        """
        blob = self._blob(context, run, tag, index)
        try:
            sheet = read_sheet(blob)
        except SnapshotError as error:
            raise _not_found(run, tag, index, damage_text(error)) from error
        if sheet is None:
            raise _not_found(run, tag, index, "Its frames are signals, not images.")
        return sheet

    def scalars(self, context: Context, run: str, tag: str) -> list[Point]:
        """The values of a scalar at increasing steps, thinned to `MAX_SCALAR_POINTS`.

        Raises:
            tensorboard.errors.NotFoundError: If the run has no such scalar.
        """
        try:
            points = self._read_scalars(context, run, tag)
        # The Python loader takes any tensor, or none, that calls itself a scalar.
        except (LookupError, TypeError, ValueError) as error:
            raise errors.NotFoundError(
                f"scalar {tag!r} in run {run!r} is damaged ({error!r:.200})."
            ) from error
        if not points:
            raise errors.NotFoundError(f"run {run!r} has no scalar {tag!r}.")
        return newest_values(points)

    def _read_scalars(self, context: Context, run: str, tag: str) -> list[Point]:
        one = RunTagFilter(runs=[run], tags=[tag])
        arguments = {"experiment_id": context.experiment_id, "plugin_name": "scalars"}
        listed = self._provider.list_scalars(context.request, **arguments, run_tag_filter=one)
        if not listed.get(run, {}).get(tag):
            return []
        if not self._lister.is_scalar(run, tag):
            raise ValueError("it holds more than one number a step")
        found = self._provider.read_scalars(
            context.request, **arguments, downsample=MAX_SCALAR_POINTS, run_tag_filter=one
        )
        data = found.get(run, {}).get(tag, [])
        return [Point(datum.step, datum.wall_time, float(datum.value)) for datum in data]

    def _scalars(self, context: Context) -> dict[str, list[str]]:
        return {
            run: monitored(tag for tag, series in tags.items() if series is not None)
            for run, tags in self._lister.scalars(context).items()
        }

    def _run(self, name: str, sequences: Mapping[str, Any], scalars: Sequence[str]) -> Run:
        snapshots: list[StoredSnapshot] = []
        damaged: dict[str, str] = {}
        for tag, sequence in sorted(sequences.items()):
            # The Python loader remembers tags whose events it has purged since.
            if sequence is not None and sequence.max_step is None:
                continue
            try:
                index = self._index(sequence)
            except SnapshotError as error:
                damaged[tag] = damage_text(error)
            else:
                snapshots.append(StoredSnapshot(tag, sequence.max_wall_time, index))
        return Run(name, newest_snapshots(snapshots), damaged, scalars)

    def _index(self, sequence: Any) -> SnapshotIndex:
        if sequence is None:
            raise SnapshotError("its event holds no tensor.")
        content = sequence.plugin_content
        index = self._indices.get(content)
        if index is None:
            index = decode_index(content)
            self._indices.put(content, index, len(content))
        if len(index.paths) != sequence.max_length:
            raise SnapshotError(
                f"its index lists {len(index.paths)} paths, its event holds {sequence.max_length}."
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
        except errors.InvalidArgumentError as error:
            why = "Names with quotes or backslashes need `tensorboard --load_fast=false`"
            raise _not_found(run, tag, index, f"{why} ({error}).") from error
        # The Python loader parses the tensor only now; a damaged one raises what it may.
        except (LookupError, TypeError, ValueError) as error:
            why = damage_text(SnapshotError(f"its event gives {error!r:.200}"))
            raise _not_found(run, tag, index, why) from error
        if not isinstance(blob, bytes):
            raise _not_found(run, tag, index, damage_text(SnapshotError("it holds no bytes")))
        return blob

    def _check_listed(self, context: Context, run: str, tag: str, index: int) -> None:
        sequence = self._lister.blob(context, run, tag)
        if sequence is None:
            raise errors.NotFoundError(f"run {run!r} has no snapshot {tag!r}.")
        # The Python loader makes as many references as a tensor claims to have elements.
        try:
            self._index(sequence)
        except SnapshotError as error:
            raise _not_found(run, tag, index, damage_text(error)) from error


def monitored(tags: Iterable[str]) -> list[str]:
    """The sorted tags that a monitor of LEAF wrote: known names beside `<prefix>/trace_mean` and
    one of `<prefix>/tangent_dimension`, `<prefix>/trace_standard_error`."""
    tags = set(tags)
    matches = {tag: match["prefix"] for tag in tags if (match := _MONITORED.fullmatch(tag))}
    return sorted(
        tag
        for tag, prefix in matches.items()
        if any({f"{prefix}/{name}" for name in names} <= tags for names in _SIGNATURES)
    )


def natural_order(name: str) -> list[str | int]:
    """Sorting key in which `version_2` comes before `version_10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _not_found(run: str, tag: str, index: int, why: str) -> Exception:
    error: Exception = errors.NotFoundError(
        f"path {index} of snapshot {tag!r} in run {run!r}. {why}"
    )
    return error
