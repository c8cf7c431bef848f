"""The snapshots of one run, sorted by what their tags say. Few indices are read."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.entries import Damaged, EntryReader
from tensorboard_plugin_leaf.store.resumed import current_snapshots
from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag, parse_tag
from tensorboard_plugin_leaf.store.stored import Stored, stored
from tensorboard_plugin_leaf.store.thinning import thinned

_NO_TENSOR: Final = damage_message(SnapshotError("the event has no tensor."))


@dataclass
class Budget:
    """What the runs of one list may still use. The work for a list is thereby limited.

    Attributes:
        names: Number of names of snapshots.
        starts: Number of indices that are read for the start of a session.
    """

    names: int
    starts: int


class RunContent(NamedTuple):
    """The snapshots of a run.

    Attributes:
        sequences: TensorBoard's blob sequences, by tag.
        current: Tags of the snapshots that are not superseded, by name.
        superseded: Number of superseded snapshots.
        omitted: Number of snapshots beyond the budget.
        damaged: Tags of events that are certainly damaged: they have no tensor, or the tag is not
            that of a snapshot.
    """

    sequences: Mapping[str, Any]
    current: Mapping[str, Sequence[SnapshotTag]]
    superseded: int
    omitted: int
    damaged: Sequence[str]

    @property
    def readable(self) -> int:
        """Number of snapshots that may be listed. Some of them may turn out to be damaged."""
        return sum(map(len, self.current.values()))

    def chosen(self, limit: int) -> Iterator[Stored]:
        """Yield at most ``limit`` snapshots of each name, by step and name."""
        tags = [tag for current in self.current.values() for tag in thinned(current, limit)]
        for tag in sorted(tags, key=lambda tag: (tag.step, tag.name, tag.session)):
            yield stored(tag.text, self.sequences[tag.text])

    def size(self, limit: int) -> int:
        """Return the size of the indices and tags of ``chosen``."""
        return sum(
            len(self.sequences[tag.text].plugin_content) + len(tag.text)
            for current in self.current.values()
            for tag in thinned(current, limit)
        )

    def messages(
        self, tags: Sequence[str], limit: int, entries: EntryReader
    ) -> Iterator[tuple[str, str]]:
        """Yield the first ``limit`` tags of damaged snapshots, each with what is wrong."""
        for tag in heapq.nsmallest(limit, tags):
            yield tag, self._message(tag, entries)

    def _message(self, tag: str, entries: EntryReader) -> str:
        if self.sequences[tag] is None:
            return _NO_TENSOR
        entry = entries.entry(stored(tag, self.sequences[tag]))
        return entry.message if isinstance(entry, Damaged) else ""


def run_content(sequences: Mapping[str, Any], entries: EntryReader, budget: Budget) -> RunContent:
    """Return the snapshots of a run.

    Args:
        sequences: TensorBoard's blob sequences, by tag. ``None`` for an event without a tensor.
        entries: Reader of the starts of sessions.
        budget: What may be read. It is reduced by what is read.
    """
    damaged: list[str] = []
    tags: list[SnapshotTag] = []
    for text, sequence in sequences.items():
        if sequence is None:
            damaged.append(text)
        # The Python loader keeps the tags of events that it has purged, with no step.
        elif sequence.max_step is not None:
            tag = parse_tag(text)
            if tag is None:
                damaged.append(text)
            else:
                tags.append(tag)

    def start_of(session: Sequence[SnapshotTag]) -> float | None:
        for tag in session:
            if budget.starts == 0:
                return None
            budget.starts -= 1
            start = entries.start(stored(tag.text, sequences[tag.text]))
            if not isinstance(start, Damaged):
                return start
        return math.inf

    current = current_snapshots(tags, start_of, budget.names)
    budget.names -= len(current.by_name)
    return RunContent(sequences, current.by_name, current.superseded, current.omitted, damaged)
