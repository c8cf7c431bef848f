"""A snapshot as TensorBoard lists it, and the check of its index."""

from __future__ import annotations

from typing import Any, NamedTuple

from tensorboard_plugin_leaf.codec.index_codec import decode_index
from tensorboard_plugin_leaf.codec.summary import tag_of
from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.schema.snapshot import SnapshotIndex
from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag, parse_tag


class Stored(NamedTuple):
    """A snapshot in an event file.

    Attributes:
        tag: Its tag.
        content: Its index, as JSON.
        paths: Number of blobs in its event.
        wall_time: Time at which it was written, in seconds since 1970.
    """

    tag: SnapshotTag
    content: bytes
    paths: int
    wall_time: float


def stored_snapshot(tag: str, sequence: Any) -> Stored:
    """Return a snapshot, without decoding its index.

    Args:
        tag: Its tag.
        sequence: TensorBoard's blob sequence, ``None`` for an event without a tensor.

    Raises:
        SnapshotError: If it has no tensor, or the tag is not that of a snapshot.
    """
    if sequence is None:
        raise SnapshotError("the event has no tensor.")
    content = sequence.plugin_content
    return Stored(parse_tag(tag), content, sequence.max_length, sequence.max_wall_time)


def decode_stored(stored: Stored) -> SnapshotIndex:
    """Return the index of a snapshot.

    Raises:
        SnapshotError: If it is damaged, or does not belong to the tag and the event.
    """
    index = decode_index(stored.content)
    if tag_of(index) != stored.tag.text:
        raise SnapshotError(
            f"the index is that of {tag_of(index)!r:.80}, the tag is {stored.tag.text!r:.80}."
        )
    if len(index.paths) != stored.paths:
        raise SnapshotError(
            f"the index lists {len(index.paths)} paths, the event has {stored.paths}."
        )
    return index
