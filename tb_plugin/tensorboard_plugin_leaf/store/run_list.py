"""The list of runs and their snapshots, of limited size for any log directory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tensorboard_plugin_leaf.store.entries import Damaged, EntryReader
from tensorboard_plugin_leaf.store.natural_order import natural_order
from tensorboard_plugin_leaf.store.run_content import Budget, RunContent, run_content

MAX_RUNS: Final = 2000
# For each run and name.
MAX_LISTED: Final = 1000
# For each run.
MAX_DAMAGED: Final = 100
MAX_SCALARS: Final = 200
# Of the whole list: its JSON, and the indices that are read, all of which the cache can hold.
MAX_LIST_BYTES: Final = 2**25
MAX_SNAPSHOTS: Final = 2**15
MAX_STARTS: Final = 2**14
# At least two snapshots of each are listed.
MAX_NAMES: Final = 2**14
# More runs are first sorted by characters, because natural order is slow.
MAX_NATURAL: Final = 20_000

# Longer tags of damaged snapshots are shortened, and longer tags of scalars omitted.
MAX_TAG: Final = 300

# The JSON of a snapshot beside its index and its tag.
_SNAPSHOT_BYTES: Final = 80
# The JSON of a run, a damaged snapshot or a scalar beside its strings.
_ITEM_BYTES: Final = 200
# A character in JSON takes up to 6 bytes.
_CHARACTER_BYTES: Final = 6


class ListedSnapshot(NamedTuple):
    """A snapshot in the list.

    Attributes:
        tag: Its tag.
        wall_time: Time at which it was written, in seconds since 1970.
        entry: Its other fields, as JSON.
    """

    tag: str
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


class RunList(NamedTuple):
    """The runs of a log directory.

    Attributes:
        runs: The runs, in natural order.
        omitted: Number of further runs.
    """

    runs: Sequence[Run]
    omitted: int


class RunLister:
    """Lister of runs, which decodes only the indices that it lists."""

    def __init__(self) -> None:
        self._entries = EntryReader()

    def list(
        self, names: Collection[str], snapshots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> RunList:
        """Return the list of runs, in natural order.

        Snapshots are thinned until their list has at most ``MAX_SNAPSHOTS`` and about
        ``MAX_LIST_BYTES``. What is beyond that is omitted.

        Args:
            names: Names of the runs.
            snapshots: TensorBoard's blob sequences, by run and tag.
            scalars: Tags of LEAF's scalars, by run.
        """
        contents = self._contents(_first(names), snapshots)
        limit = _limit(contents.values())
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

    def _contents(
        self, names: Sequence[str], snapshots: Mapping[str, Any]
    ) -> Mapping[str, RunContent]:
        budget = Budget(MAX_NAMES, MAX_STARTS)
        sequences = {name: snapshots.get(name, {}) for name in names}
        # Large runs come last, so that they leave the budget to all others.
        contents = {
            name: run_content(sequences[name], self._entries, budget)
            for name in sorted(names, key=lambda name: len(sequences[name]))
        }
        return {name: contents[name] for name in names}

    def _fill(self, run: Run, content: RunContent, limit: int, room: int) -> int:
        """Add the snapshots of a run, and return the bytes that are left for other runs."""
        damaged: list[str] = list(content.damaged)
        for snapshot in content.chosen(limit):
            if len(snapshot.content) > room:
                break
            entry = self._entries.entry(snapshot)
            if isinstance(entry, Damaged):
                damaged.append(snapshot.tag)
                continue
            needed = len(entry) + len(snapshot.tag) + _SNAPSHOT_BYTES
            if needed > room:
                break
            room -= needed
            run.snapshots.append(ListedSnapshot(snapshot.tag, snapshot.wall_time, entry))
        for tag, message in content.messages(damaged, MAX_DAMAGED, self._entries):
            shown = tag[:MAX_TAG]
            room -= _text_bytes(shown, message)
            if room < 0:
                break
            run.damaged[shown] = message
        run.superseded = content.superseded
        readable = content.readable - (len(damaged) - len(content.damaged))
        run.omitted = content.omitted + readable - len(run.snapshots)
        run.damaged_omitted = len(damaged) - len(run.damaged)
        return room


def _run(name: str, scalars: Sequence[str]) -> Run:
    shown = [tag for tag in scalars if len(tag) <= MAX_TAG][:MAX_SCALARS]
    return Run(name, shown, len(scalars) - len(shown))


def _first(names: Collection[str]) -> Sequence[str]:
    # Names such as `0` and `00` are equal in natural order.
    return sorted(sorted(names)[:MAX_NATURAL], key=natural_order)[:MAX_RUNS]


def _limit(contents: Collection[RunContent]) -> int:
    """Return how many snapshots of each run and name fit into the list."""
    limit = MAX_LISTED
    while limit > 2 and not _fits(contents, limit):
        limit = max(2, limit // 2)
    return limit


def _fits(contents: Collection[RunContent], limit: int) -> bool:
    count = sum(
        min(len(current), limit) for content in contents for current in content.current.values()
    )
    if count > MAX_SNAPSHOTS:
        return False
    # About that in JSON: an index is JSON with the same strings.
    size = sum(content.size(limit) for content in contents)
    return size + count * _SNAPSHOT_BYTES <= MAX_LIST_BYTES


def _text_bytes(*texts: str) -> int:
    return sum(_ITEM_BYTES + _CHARACTER_BYTES * len(text) for text in texts)
