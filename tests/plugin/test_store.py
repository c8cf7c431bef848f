"""What the store shows of what it finds."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tensorboard_plugin_leaf import encode
from tensorboard_plugin_leaf.codec.index_codec import decode_index
from tensorboard_plugin_leaf.store.log_store import natural_order
from tensorboard_plugin_leaf.store.lru_cache import LRUCache
from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags
from tensorboard_plugin_leaf.store.resumed import (
    ScalarPoint,
    StoredSnapshot,
    current_snapshots,
    current_values,
)

from tests.support.plugin import synthetic


class Taken(NamedTuple):
    """A snapshot by what decides whether it is superseded."""

    step: int
    session: int
    start: int
    name: str = "path"


@pytest.mark.parametrize(
    ("taken", "kept"),
    [
        ([], []),
        ([Taken(1, 0, 0), Taken(2, 0, 0)], [0, 1]),
        # Resumed from 2: what the older session saw from there on was undone.
        ([Taken(1, 0, 0), Taken(2, 0, 0), Taken(3, 0, 0), Taken(4, 1, 2)], [0, 3]),
        ([Taken(1, 0, 0), Taken(2, 0, 0), Taken(3, 1, 3)], [0, 1, 2]),
        # Started again from nothing.
        ([Taken(5, 0, 0), Taken(9, 0, 0), Taken(1, 1, 0)], [2]),
        # Resumed twice, each time further back.
        ([Taken(5, 0, 0), Taken(7, 1, 6), Taken(4, 2, 4)], [2]),
        # Another callback is another story.
        ([Taken(5, 0, 0), Taken(1, 1, 0, "other")], [1, 0]),
        # An older session never supersedes a newer one, whichever is read first.
        ([Taken(5, 1, 3), Taken(4, 0, 0)], [0]),
    ],
)
def test_newest_session_supersedes_what_it_undid(taken: list[Taken], kept: list[int]) -> None:
    stored = [
        StoredSnapshot(
            str(position),
            0.0,
            decode_index(
                encode(
                    synthetic.snapshot(
                        step,
                        name=name,
                        paths=1,
                        path_steps=1,
                        session=f"{session:016x}",
                        session_start_step=start,
                    )
                )[0]
            ),
        )
        for position, (step, session, start, name) in enumerate(taken)
    ]
    assert [int(snapshot.tag) for snapshot in current_snapshots(stored)] == kept


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([], []),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1, 2, 1, 3], [0, 3, 4]),
        ([0, 1, 1], [0, 2]),
        ([5, 6, 0], [2]),
        ([0, 4, 8, 5, 6, 4], [0, 5]),
    ],
)
def test_newest_value_of_a_step_wins(steps: list[int], kept: list[int]) -> None:
    points = [ScalarPoint(step, 0.0, float(position)) for position, step in enumerate(steps)]
    assert [point.value for point in current_values(points)] == kept


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["leaf/trace_mean", "leaf/tangent_dimension"], True),
        (["a/b/trace_mean", "a/b/tangent_dimension"], True),
        (["leaf/trace_mean"], False),
        (["leaf/trace_mean", "leaf/trace_median"], False),
        (["leaf/trace_mean", "other/tangent_dimension"], False),
        (["trace_mean", "tangent_dimension"], False),
        (["/trace_mean", "/tangent_dimension"], False),
        (["leaf_trace_mean", "leaf_tangent_dimension"], False),
        ([], False),
    ],
)
def test_monitors_are_known_by_two_tags_side_by_side(tags: list[str], found: bool) -> None:
    assert monitor_tags(tags) == (sorted(tags) if found else [])


def test_monitors_of_many_classes_are_known_by_their_standard_error() -> None:
    tags = ["leaf/trace_mean", "leaf/trace_standard_error"]
    assert monitor_tags(tags) == ["leaf/trace_mean"]


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["b", "a10", "a9", "a", "10", "9", "", "a9b", "٣", "²"]
    expected = ["", "٣", "9", "10", "a", "a9", "a9b", "a10", "b", "²"]
    assert sorted(names, key=natural_order) == expected
    assert sorted(names) != expected


def test_cache_keeps_what_was_used_last_and_stays_below_its_size() -> None:
    cache = LRUCache[int, bytes](max_bytes=10)
    keys = range(4)
    cache.put(keys[0], b"aaaa", 4)
    cache.put(keys[1], b"bbbb", 4)
    assert cache.get(keys[0]) == b"aaaa"
    cache.put(keys[2], b"cccc", 4)
    assert cache.get(keys[1]) is None
    assert (cache.get(keys[0]), cache.get(keys[2])) == (b"aaaa", b"cccc")
    cache.put(keys[2], b"cc", 2)
    cache.put(keys[1], b"bbbb", 4)
    assert [cache.get(key) for key in keys[:3]] == [b"aaaa", b"bbbb", b"cc"]
    cache.put(keys[3], b"longer than the whole cache", 27)
    assert [cache.get(key) for key in keys] == [None] * 4
    cache.put(keys[0], b"aaaa", 4)
    assert cache.get(keys[0]) == b"aaaa"
