"""The snapshots of one run, sorted by what their tags say. Few indices are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.entries import Damaged, EntryReader
from tensorboard_plugin_leaf.store.resumed import current_snapshots
from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag, parse_tag
from tensorboard_plugin_leaf.store.stored import Stored, stored
from tensorboard_plugin_leaf.store.thinning import thinned

_NO_TENSOR: Final = damage_message(SnapshotError("the event has no tensor."))


class RunContent(NamedTuple):
    """The snapshots of a run.

    Attributes:
        snapshots: All snapshots with a tensor, by tag.
        current: Tags of the snapshots that are not superseded, by name.
        superseded: Number of superseded snapshots.
        damaged: Tags of events that are certainly damaged: they have no tensor, or the tag is not
            that of a snapshot.
    """

    snapshots: Mapping[str, Stored]
    current: Mapping[str, Sequence[SnapshotTag]]
    superseded: int
    damaged: Sequence[str]

    @property
    def readable(self) -> int:
        """Number of snapshots that may be listed. Some of them may turn out to be damaged."""
        return sum(map(len, self.current.values()))

    def chosen(self, limit: int) -> Iterator[Stored]:
        """Yield at most ``limit`` snapshots of each name, by step and name."""
        tags = [tag for current in self.current.values() for tag in thinned(current, limit)]
        for tag in sorted(tags, key=lambda tag: (tag.step, tag.name, tag.session)):
            yield self.snapshots[tag.text]

    def message(self, tag: str, entries: EntryReader) -> str:
        """Return what is wrong with a damaged snapshot."""
        if tag not in self.snapshots:
            return _NO_TENSOR
        entry = entries.entry(self.snapshots[tag])
        return entry.message if isinstance(entry, Damaged) else ""


def run_content(sequences: Mapping[str, Any], entries: EntryReader) -> RunContent:
    """Return the snapshots of a run.

    Args:
        sequences: TensorBoard's blob sequences, by tag. ``None`` for an event without a tensor.
        entries: Reader of the starts of sessions.
    """
    snapshots = {
        tag: stored(tag, sequence)
        for tag, sequence in sequences.items()
        # The Python loader keeps the tags of events that it has purged, with no step.
        if sequence is not None and sequence.max_step is not None
    }
    tags = {text: parse_tag(text) for text in snapshots}
    damaged = [tag for tag, sequence in sequences.items() if sequence is None]
    damaged += [text for text, tag in tags.items() if tag is None]
    valid = [tag for tag in tags.values() if tag is not None]

    def start_of(session: Sequence[SnapshotTag]) -> int | None:
        starts = (entries.start(snapshots[tag.text]) for tag in session)
        return next((start for start in starts if not isinstance(start, Damaged)), None)

    current = current_snapshots(valid, start_of)
    superseded = len(valid) - sum(map(len, current.values()))
    return RunContent(snapshots, current, superseded, damaged)
