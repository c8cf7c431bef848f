"""The entries of the list of snapshots, as compact text, read from untrusted indices."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from tensorboard_plugin_leaf.codec.json_fields import MAX_JSON_BYTES
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.snapshot import SnapshotIndex
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.lru_cache import LRUCache
from tensorboard_plugin_leaf.store.stored import Stored, decode_stored

# Size of all entries in the cache, larger than those of the largest list.
_ENTRY_CACHE_BYTES: Final = 2**26
# Number of starts of sessions in the cache, several times as many as one list reads.
_STARTS: Final = 2**16
# Memory of a cached entry beside its text.
_OVERHEAD_BYTES: Final = 300

# `json.dumps` would create an encoder for each of the thousands of entries of the list.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

_T = TypeVar("_T")


class Damaged(NamedTuple):
    """What is wrong with a snapshot that cannot be read, and what to do."""

    message: str


class EntryReader:
    """Reader of indices, which are decoded one at a time.

    TensorBoard reloads often, and each reload lists all indices again. As Python objects, JSON
    takes up to 25 times its size. Therefore only text and numbers are kept, in caches of limited
    size. Their keys are hashes of the content, so that a snapshot that was written again is read
    again.
    """

    def __init__(self) -> None:
        self._entries = LRUCache[bytes, str | Damaged](_ENTRY_CACHE_BYTES)
        self._starts = LRUCache[bytes, int | Damaged](_STARTS)

    def entry(self, snapshot: Stored) -> str | Damaged:
        """Return the JSON of a snapshot in the route ``snapshots``, without tag and time."""

        def size(text: str) -> int:
            return len(text) + _OVERHEAD_BYTES

        return _cached(self._entries, snapshot, entry_json, size)

    def start(self, snapshot: Stored) -> int | Damaged:
        """Return the step at which the session of a snapshot started."""
        return _cached(self._starts, snapshot, lambda index: index.session_start_step, lambda _: 1)


def entry_json(index: SnapshotIndex) -> str:
    """Return the fields of an index that the page needs, as strict JSON."""
    paths = [
        {name: finite_or_none(value) for name, value in vars(path).items()} for path in index.paths
    ]
    values = vars(index) | {"paths": paths}
    # The page does not need it: the store omits superseded snapshots.
    del values["session_start_step"]
    return _ENCODER.encode(values)


def finite_or_none(value: Any) -> Any:
    """Return ``value``, or ``None`` for NaN and infinity, which strict JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cached(
    cache: LRUCache[bytes, _T | Damaged],
    snapshot: Stored,
    convert: Callable[[SnapshotIndex], _T],
    size: Callable[[Any], int],
) -> _T | Damaged:
    if len(snapshot.content) > MAX_JSON_BYTES:
        return _read(snapshot, convert)
    key = _key(snapshot)
    value = cache.get(key)
    if value is None:
        value = _read(snapshot, convert)
        cache.put(key, value, size(value.message if isinstance(value, Damaged) else value))
    return value


def _read(snapshot: Stored, convert: Callable[[SnapshotIndex], _T]) -> _T | Damaged:
    try:
        return convert(decode_stored(snapshot))
    except SnapshotError as error:
        return Damaged(damage_message(error))


def _key(snapshot: Stored) -> bytes:
    content = hashlib.blake2b(
        f"{snapshot.tag} {snapshot.paths} ".encode(errors="surrogatepass"), digest_size=16
    )
    content.update(snapshot.content)
    return content.digest()
