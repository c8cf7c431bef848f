"""The stored bytes of paths, with a cache that notices when a snapshot was written again."""

from __future__ import annotations

import hashlib
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple

from tensorboard import errors
from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.listing import Context, SeriesLister
from tensorboard_plugin_leaf.store.lru_cache import LRUCache
from tensorboard_plugin_leaf.store.stored import decode_stored, stored

CACHE_BYTES: Final = 2**26

# What TensorBoard lists of a snapshot may be equal after the snapshot was written again. Blobs are
# therefore read again after this time.
MAX_AGE_SECONDS: Final = 10.0

# Memory of a cached blob beside its bytes.
_OVERHEAD_BYTES: Final = 1000


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

    def not_found(self, why: str) -> Exception:
        """Return the error for a path that does not exist or cannot be read."""
        error: Exception = errors.NotFoundError(
            f"path {self.index} of snapshot {self.tag!r:.200} in run {self.run!r:.200}. {why}"
        )
        return error


class Blob(NamedTuple):
    """The bytes of a path.

    Attributes:
        content: The bytes.
        digest: Their hash, 32 hexadecimal digits.
        version: Hash of what TensorBoard lists of the snapshot: its time, step, length and index.
        read_at: Time before they were read, in seconds of a monotonic clock.
    """

    content: bytes
    digest: str
    version: bytes
    read_at: float

    def is_current(self, version: bytes) -> bool:
        """Return whether they need not be read again."""
        return self.version == version and time.monotonic() - self.read_at < MAX_AGE_SECONDS


class BlobReader:
    """Reader of blobs, which keeps those used last.

    Args:
        data_provider: TensorBoard's data provider.
        multiplexer: The multiplexer of the Python loader. ``None`` for the Rust data server.
        series: Lister of its series.
    """

    def __init__(self, data_provider: Any, multiplexer: Any, series: SeriesLister) -> None:
        self._provider = data_provider
        self._series = series
        self._cache = LRUCache[tuple[str, PathKey], Blob](CACHE_BYTES)
        # As Python objects, an index takes up to 25 times its size.
        self._decoding = Lock()
        # The Python loader copies all blobs of a snapshot to read one. The Rust data server
        # does not, and waiting for its answers one by one would take long.
        self._reading: AbstractContextManager[Any] = (
            nullcontext() if multiplexer is None else Lock()
        )

    def blob(self, context: Context, key: PathKey, digest: str | None = None) -> Blob:
        """Return the bytes of a path, those of ``digest`` if it is given.

        Raises:
            tensorboard.errors.NotFoundError: If the path does not exist, is damaged, or has another
                digest.
        """
        cached = self._cache.get((context.experiment_id, key))
        # Asking the Rust data server takes 40 ms. Bytes of this digest are right without it.
        if cached is not None and cached.digest == digest:
            return cached
        version = self._version(context, key)
        if cached is None or not cached.is_current(version):
            read_at = time.monotonic()
            with self._reading:
                content = self._read(context, key)
            cached = Blob(content, _digest(content), version, read_at)
            self._cache.put((context.experiment_id, key), cached, len(content) + _OVERHEAD_BYTES)
        if digest not in (None, cached.digest):
            raise key.not_found("The snapshot was written again. Reload the page.")
        return cached

    def _version(self, context: Context, key: PathKey) -> bytes:
        listed = self._series.blob(context, key.run, key.tag)
        if listed is None:
            raise _no_snapshot(key)
        snapshot = stored(key.tag, listed)
        # The Python loader creates one reference for each element that a tensor declares.
        try:
            with self._decoding:
                decode_stored(snapshot)
        except SnapshotError as error:
            raise key.not_found(damage_message(error)) from error
        version = hashlib.blake2b(f"{snapshot._replace(content=b'')} {listed.max_step}".encode())
        version.update(snapshot.content)
        return version.digest()

    def _read(self, context: Context, key: PathKey) -> bytes:
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
            raise key.not_found(f"The snapshot has {len(references)} paths.")
        reference = references[key.index]
        try:
            blob = self._provider.read_blob(context.request, blob_key=reference.blob_key)
        except errors.InvalidArgumentError as error:
            why = (
                "If the name of the run or tag has quotes or backslashes, start TensorBoard with "
                f"`--load_fast=false` ({error!s:.200})."
            )
            raise key.not_found(why) from error
        # The Python loader parses the tensor here. Damaged ones raise various errors.
        except (LookupError, TypeError, ValueError) as error:
            why = damage_message(SnapshotError(f"reading the event raised {error!r:.200}"))
            raise key.not_found(why) from error
        if not isinstance(blob, bytes):
            raise key.not_found(damage_message(SnapshotError("the event has no bytes")))
        return blob


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _no_snapshot(key: PathKey) -> Exception:
    text = f"run {key.run!r:.200} has no snapshot {key.tag!r:.200}."
    error: Exception = errors.NotFoundError(text)
    return error
