"""Snapshots and scalars of LEAF in a log directory.

They are read through TensorBoard's data provider, which works with the Python loader and with the
Rust data server. If training resumed into the same run, only the newest session counts at each
step.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from tensorboard import errors
from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.codec.path_codec import decode_path, read_sheet
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.path import PathRecord
from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME
from tensorboard_plugin_leaf.store.blobs import BlobReader, PathKey
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.listing import Context, SeriesLister
from tensorboard_plugin_leaf.store.resumed import ScalarPoint, current_values
from tensorboard_plugin_leaf.store.run_list import RunList, RunLister

MAX_SCALAR_POINTS: Final = 1000


class LogStore:
    """Snapshots and scalars of LEAF in a data provider.

    Args:
        data_provider: TensorBoard's data provider.
        multiplexer: The multiplexer of the Python loader. ``None`` for the Rust data server.
    """

    def __init__(self, data_provider: Any, multiplexer: Any = None) -> None:
        self._provider = data_provider
        self._series = SeriesLister(data_provider, multiplexer)
        self._blobs = BlobReader(data_provider, multiplexer, self._series)
        self._runs = RunLister()
        # The data provider copies all indices to list them. One list at a time limits this memory.
        self._listing = Lock()
        # A path takes several times its size while it is decoded and converted.
        self._decoding = Lock()

    def has_data(self, context: Context) -> bool:
        """Return whether any run has snapshots or scalars of LEAF."""
        # TensorBoard calls this often. To list the snapshots would copy all indices.
        plugins = self._provider.list_plugins(context.request, experiment_id=context.experiment_id)
        return PLUGIN_NAME in (plugins or ()) or any(self._series.scalars(context).values())

    def runs(self, context: Context) -> RunList:
        """Return the runs that have snapshots or scalars of LEAF, in natural order."""
        with self._listing:
            snapshots = self._series.blobs(context)
            scalars = self._series.scalars(context)
            names = {name for runs in (snapshots, scalars) for name, tags in runs.items() if tags}
            return self._runs.list(names, snapshots, scalars)

    def path(
        self, context: Context, key: PathKey, convert: Callable[[PathRecord, str], str]
    ) -> str:
        """Return one path of a snapshot as text.

        Args:
            context: The parts of the request that the data provider uses.
            key: The path.
            convert: Function of the path and the digest of its bytes. All pixels of the path are 0;
                :meth:`sheet` returns the images. It may raise
                :class:`~tensorboard_plugin_leaf.SnapshotError`.

        Raises:
            tensorboard.errors.NotFoundError: If the path does not exist, is damaged or cannot be
                converted.
        """
        blob = self._blobs.blob(context, key)
        with self._decoding:
            try:
                path = decode_path(blob.content, pixels=False)
            except SnapshotError as error:
                raise key.not_found(damage_message(error)) from error
            try:
                return convert(path, blob.digest)
            except SnapshotError as error:
                raise key.not_found(str(error)) from error

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
        blob = self._blobs.blob(context, key, digest)
        try:
            with self._decoding:
                sheet = read_sheet(blob.content)
        except SnapshotError as error:
            raise key.not_found(damage_message(error)) from error
        if sheet is None:
            raise key.not_found("Its frames are signals, not images.")
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
