"""The list of runs and their snapshots, of limited size for any log directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tensorboard_plugin_leaf.schema.errors import SnapshotError
from tensorboard_plugin_leaf.store.damage_message import damage_message
from tensorboard_plugin_leaf.store.entries import Damaged, EntryReader
from tensorboard_plugin_leaf.store.resumed import current_snapshots
from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag
from tensorboard_plugin_leaf.store.stored import Stored, stored_snapshot
from tensorboard_plugin_leaf.store.thinning import thinned

MAX_RUNS: Final = 2000
# For each run and name.
MAX_LISTED: Final = 1000
# For each run.
MAX_DAMAGED: Final = 100
MAX_SCALARS: Final = 200
# Of the whole list as JSON.
MAX_LIST_BYTES: Final = 2**25

# Longer tags of damaged snapshots are shortened, and longer tags of scalars omitted.
_MAX_TAG: Final = 300
# The JSON of a snapshot beside its index and its tag.
_SNAPSHOT_BYTES: Final = 80
# The JSON of a run, a damaged snapshot or a scalar beside its strings.
_ITEM_BYTES: Final = 200
# A character in JSON takes up to 6 bytes.
_CHARACTER_BYTES: Final = 6


@dataclass(frozen=True)
class ListedSnapshot:
    """A snapshot in the list.

    Attributes:
        tag: Its tag.
        wall_time: Time at which it was written, in seconds since 1970.
        entry: Its other fields, as JSON.
    """

    tag: SnapshotTag
    wall_time: float
    entry: str


@dataclass
class Run:
    """One run.

    Attributes:
        name: Its name.
        scalars: Tags of LEAF's scalars.
        scalars_omitted: Number of further scalars.
        snapshots: Its snapshots, sorted by step and name.
        omitted: Number of further snapshots.
        superseded: Number of snapshots that a resumed training discarded.
        damaged: The message for each damaged snapshot, by tag.
        damaged_omitted: Number of further damaged snapshots.
    """

    name: str
    scalars: Sequence[str]
    scalars_omitted: int
    snapshots: list[ListedSnapshot] = field(default_factory=list)
    omitted: int = 0
    superseded: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    damaged_omitted: int = 0


@dataclass
class RunList:
    """The runs of a log directory.

    Attributes:
        runs: The runs, in natural order.
        omitted: Number of further runs.
    """

    runs: list[Run]
    omitted: int


@dataclass
class _Content:
    """The snapshots of a run, before their indices are decoded."""

    stored: dict[SnapshotTag, Stored]
    # By name, without superseded ones.
    current: Mapping[str, Sequence[SnapshotTag]]
    damaged: dict[str, SnapshotError]

    def chosen(self, limit: int) -> list[Stored]:
        tags = [tag for tags in self.current.values() for tag in thinned(tags, limit)]
        return [self.stored[tag] for tag in sorted(tags, key=_by_step)]


class RunLister:
    """Lister of runs, which decodes only the indices that it lists."""

    def __init__(self) -> None:
        self._entries = EntryReader()

    def list(
        self, names: Sequence[str], snapshots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> RunList:
        """Return the list of runs.

        Snapshots are thinned until their list has about ``MAX_LIST_BYTES``. What is beyond that
        is omitted.

        Args:
            names: Names of the runs, in order.
            snapshots: TensorBoard's blob sequences, by run and tag.
            scalars: Tags of LEAF's scalars, by run.
        """
        listed = names[:MAX_RUNS]
        contents = {name: self._content(snapshots.get(name, {})) for name in listed}
        limit = _limit(contents)
        runs: list[Run] = []
        room = MAX_LIST_BYTES
        for name, content in contents.items():
            run = _run(name, scalars.get(name, ()))
            room -= _text_bytes(name, *run.scalars)
            if room < 0:
                break
            room = self._fill(run, content, limit, room)
            runs.append(run)
        return RunList(runs, len(names) - len(runs))

    def _content(self, sequences: Mapping[str, Any]) -> _Content:
        stored: dict[SnapshotTag, Stored] = {}
        damaged: dict[str, SnapshotError] = {}
        for text, sequence in sequences.items():
            # The Python loader keeps the tags of events that it has purged.
            if sequence is not None and sequence.max_step is None:
                continue
            snapshot = _stored_or_error(text, sequence)
            if isinstance(snapshot, Stored):
                stored[snapshot.tag] = snapshot
            else:
                damaged[text] = snapshot

        def start_of(session: Sequence[SnapshotTag]) -> int | None:
            starts = (self._entries.start(stored[tag]) for tag in session)
            return next((start for start in starts if not isinstance(start, Damaged)), None)

        return _Content(stored, current_snapshots(stored, start_of), damaged)

    def _fill(self, run: Run, content: _Content, limit: int, room: int) -> int:
        """Add the snapshots of a run, and return the bytes that are left for other runs."""
        messages: dict[str, str | None] = dict.fromkeys(content.damaged)
        current = sum(map(len, content.current.values()))
        run.superseded = len(content.stored) - current
        for stored in content.chosen(limit):
            entry = self._entries.entry(stored)
            if isinstance(entry, Damaged):
                messages[stored.tag.text] = entry.message
                continue
            needed = len(entry) + len(stored.tag.text) + _SNAPSHOT_BYTES
            if needed > room:
                break
            room -= needed
            run.snapshots.append(ListedSnapshot(stored.tag, stored.wall_time, entry))
        run.omitted = current - len(run.snapshots) - (len(messages) - len(content.damaged))
        for tag in sorted(messages)[:MAX_DAMAGED]:
            shown = f"{tag:.{_MAX_TAG}}"
            message = messages[tag] or damage_message(content.damaged[tag])
            room -= _text_bytes(shown, message)
            if room < 0:
                break
            run.damaged[shown] = message
        run.damaged_omitted = len(messages) - len(run.damaged)
        return room


def _stored_or_error(tag: str, sequence: Any) -> Stored | SnapshotError:
    try:
        return stored_snapshot(tag, sequence)
    except SnapshotError as error:
        return error


def _by_step(tag: SnapshotTag) -> tuple[int, str, str]:
    return (tag.step, tag.name, tag.text)


def _run(name: str, scalars: Sequence[str]) -> Run:
    shown = [tag for tag in scalars if len(tag) <= _MAX_TAG][:MAX_SCALARS]
    return Run(name, shown, len(scalars) - len(shown))


def _limit(contents: Mapping[str, _Content]) -> int:
    """Return how many snapshots of each run and name fit into the list."""
    limit = MAX_LISTED
    while limit > 2 and sum(_sizes(contents, limit)) > MAX_LIST_BYTES:
        limit //= 2
    return limit


def _sizes(contents: Mapping[str, _Content], limit: int) -> Iterator[int]:
    # About the sizes in JSON: an index is JSON with the same strings.
    for content in contents.values():
        for tags in content.current.values():
            for tag in thinned(tags, limit):
                yield len(content.stored[tag].content) + len(tag.text) + _SNAPSHOT_BYTES


def _text_bytes(*texts: str) -> int:
    return sum(_ITEM_BYTES + _CHARACTER_BYTES * len(text) for text in texts)
