"""Snapshots and scalars of LEAF in a log directory.

They are read through TensorBoard's data provider, which works with the Python loader and with the
Rust data server. If training resumed into the same run, only the newest session counts at each
step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from tensorboard import errors
from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.path import PathRecord
from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.listing import Context, SeriesLister
from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags
from tensorboard_plugin_leaf.store.natural_order import natural_order
from tensorboard_plugin_leaf.store.resumed import ScalarPoint, current_values
from tensorboard_plugin_leaf.store.run_list import RunList, RunLister
from tensorboard_plugin_leaf.store.stored import decode_stored, stored

MAX_SCALAR_POINTS: Final = 1000


@dataclass(frozen=True)
class PathKey:
    """What identifies a path.

    Attributes:
        run: Name of the run.
        tag: Tag of the snapshot.
        index: Position of the path in the snapshot, from 0.
    """

    run: str
    tag: str
    index: int


class LogStore:
    """Snapshots and scalars of LEAF in a data provider.

    Args:
        data_provider: TensorBoard's data provider.
        multiplexer: The multiplexer of the Python loader. ``None`` for the Rust data server.
    """

    def __init__(self, data_provider: Any, multiplexer: Any = None) -> None:
        self._provider = data_provider
        self._series = SeriesLister(data_provider, multiplexer)
        self._runs = RunLister()
        # The data provider copies all indices to list them. One list at a time limits this memory.
        self._listing = Lock()

    def has_data(self, context: Context) -> bool:
        """Return whether any run has snapshots or scalars of LEAF."""
        return any(self._scalars(context).values()) or any(self._series.blobs(context).values())

    def runs(self, context: Context) -> RunList:
        """Return the runs that have snapshots or scalars of LEAF, in natural order."""
        with self._listing:
            snapshots = self._series.blobs(context)
            scalars = self._scalars(context)
            names = {name for runs in (snapshots, scalars) for name, tags in runs.items() if tags}
            # Names such as `0` and `00` are equal in natural order.
            ordered = sorted(sorted(names), key=natural_order)
            return self._runs.list(ordered, snapshots, scalars)

    def path(self, context: Context, key: PathKey) -> tuple[PathRecord, str]:
        """Return one path of a snapshot and the digest of its blob. All its pixels are 0.

        :meth:`sheet` returns the images.

        Raises:
            tensorboard.errors.NotFoundError: If the path does not exist or is damaged.
        """
        blob = self._blob(context, key)
        try:
            return decode_path(blob, pixels=False), _digest(blob)
        except SnapshotError as error:
            raise _not_found(key, damage_message(error)) from error

    def sheet(self, context: Context, key: PathKey, digest: str | None = None) -> bytes:
        """Return the PNG sprite sheet of the frames of one path.

        Args:
            context: The parts of the request that the data provider uses.
            key: The path.
            digest: The digest that :meth:`path` returned.

        Raises:
            tensorboard.errors.NotFoundError: If the path does not exist, is damaged, has another
                digest, or its frames are not images.
        """
        blob = self._blob(context, key)
        if digest not in (None, _digest(blob)):
            raise _not_found(key, "The snapshot was written again. Reload the page.")
        try:
            sheet = read_sheet(blob)
        except SnapshotError as error:
            raise _not_found(key, damage_message(error)) from error
        if sheet is None:
            raise _not_found(key, "Its frames are signals, not images.")
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
                f"scalar {tag!r:.200} in run {run!r:.200} is damaged ({error!r:.200})."
            ) from error
        if not points:
            raise errors.NotFoundError(f"run {run!r:.200} has no scalar {tag!r:.200}.")
        return current_values(points)

    def _read_scalars(self, context: Context, run: str, tag: str) -> list[ScalarPoint]:
        run_tag_filter = RunTagFilter(runs=[run], tags=[tag])
        arguments = {"experiment_id": context.experiment_id, "plugin_name": "scalars"}
        listed = self._provider.list_scalars(
            context.request, **arguments, run_tag_filter=run_tag_filter
        )
        if not listed.get(run, {}).get(tag):
            return []
        if not self._series.is_scalar(run, tag):
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
            for run, tags in self._series.scalars(context).items()
        }

    def _blob(self, context: Context, key: PathKey) -> bytes:
        # Blobs are not cached: TensorBoard holds them, and may replace them at any time.
        self._check_listed(context, key)
        sequences = self._provider.read_blob_sequences(
            context.request,
            experiment_id=context.experiment_id,
            plugin_name=PLUGIN_NAME,
            downsample=1,
            run_tag_filter=RunTagFilter(runs=[key.run], tags=[key.tag]),
        )
        data = sequences.get(key.run, {}).get(key.tag, [])
        if not data:
            raise _no_snapshot(key)
        references = data[-1].values
        if key.index >= len(references):
            raise _not_found(key, f"The snapshot has {len(references)} paths.")
        reference = references[key.index]
        try:
            blob = self._provider.read_blob(context.request, blob_key=reference.blob_key)
        except errors.InvalidArgumentError as error:
            why = (
                "If the name of the run or tag has quotes or backslashes, start TensorBoard with "
                f"`--load_fast=false` ({error!s:.200})."
            )
            raise _not_found(key, why) from error
        # The Python loader parses the tensor here. Damaged ones raise various errors.
        except (LookupError, TypeError, ValueError) as error:
            why = damage_message(SnapshotError(f"reading the event raised {error!r:.200}"))
            raise _not_found(key, why) from error
        if not isinstance(blob, bytes):
            raise _not_found(key, damage_message(SnapshotError("the event has no bytes")))
        return blob

    def _check_listed(self, context: Context, key: PathKey) -> None:
        listed = self._series.blob(context, key.run, key.tag)
        if listed is None:
            raise _no_snapshot(key)
        # The Python loader creates one reference for each element that a tensor declares.
        try:
            decode_stored(stored(key.tag, listed))
        except SnapshotError as error:
            raise _not_found(key, damage_message(error)) from error


def _digest(blob: bytes) -> str:
    return hashlib.blake2b(blob, digest_size=16).hexdigest()


def _no_snapshot(key: PathKey) -> Exception:
    text = f"run {key.run!r:.200} has no snapshot {key.tag!r:.200}."
    error: Exception = errors.NotFoundError(text)
    return error


def _not_found(key: PathKey, why: str) -> Exception:
    error: Exception = errors.NotFoundError(
        f"path {key.index} of snapshot {key.tag!r:.200} in run {key.run!r:.200}. {why}"
    )
    return error
