"""The store: resumed runs, monitor tags, natural order and cache."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tensorboard_plugin_leaf.store.lru_cache import LRUCache
from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags
from tensorboard_plugin_leaf.store.natural_order import natural_order
from tensorboard_plugin_leaf.store.resumed import (
    ScalarPoint,
    current_snapshots,
    current_values,
)
from tensorboard_plugin_leaf.store.snapshot_tag import SnapshotTag, parse_tag


class Written(NamedTuple):
    """The fields of a snapshot that decide whether it is superseded."""

    step: int
    session: int
    start: int
    name: str = "path"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ([], []),
        ([Written(1, 0, 0), Written(2, 0, 0)], [0, 1]),
        # Resumed from step 2: later snapshots of the older session are superseded.
        ([Written(1, 0, 0), Written(2, 0, 0), Written(3, 0, 0), Written(4, 1, 2)], [0, 3]),
        ([Written(1, 0, 0), Written(2, 0, 0), Written(3, 1, 3)], [0, 1, 2]),
        # Restarted from step 0.
        ([Written(5, 0, 0), Written(9, 0, 0), Written(1, 1, 0)], [2]),
        # Resumed twice, each time from an earlier step.
        ([Written(5, 0, 0), Written(7, 1, 6), Written(4, 2, 4)], [2]),
        # Snapshots of another callback are not compared.
        ([Written(5, 0, 0), Written(1, 1, 0, "other")], [1, 0]),
        # An older session never supersedes a newer one, in any order.
        ([Written(5, 1, 3), Written(4, 0, 0)], [0]),
    ],
)
def test_newer_session_supersedes_the_steps_that_it_repeats(
    written: list[Written], kept: list[int]
) -> None:
    tags = [tag_of(snapshot) for snapshot in written]
    start_of = {tag: snapshot.start for tag, snapshot in zip(tags, written, strict=True)}
    current = current_snapshots(tags, lambda session: start_of[session[0]], max_names=2)
    assert [tags.index(tag) for found in current.by_name.values() for tag in found] == kept
    assert (current.superseded, current.omitted) == (len(written) - len(kept), 0)


def tag_of(written: Written) -> SnapshotTag:
    return parse_tag(f"{written.name}/{written.step:012d}-{written.session:016x}")


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
def test_newer_values_replace_the_steps_that_they_repeat(steps: list[int], kept: list[int]) -> None:
    points = [ScalarPoint(step, 0.0, float(position)) for position, step in enumerate(steps)]
    assert [point.value for point in current_values(points)] == kept


@pytest.mark.parametrize(
    ("tags", "is_monitor"),
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
def test_monitors_are_recognised_by_two_tags_with_one_prefix(
    tags: list[str], is_monitor: bool
) -> None:
    assert monitor_tags(tags) == (sorted(tags) if is_monitor else [])


def test_monitors_of_many_classes_are_recognised_by_their_standard_error() -> None:
    tags = ["leaf/trace_mean", "leaf/trace_standard_error"]
    assert monitor_tags(tags) == ["leaf/trace_mean"]


def test_natural_order_compares_numbers_in_names() -> None:
    names = ["b", "a10", "a9", "a", "10", "9", "", "a9b", "٣", "²"]
    expected = ["", "٣", "9", "10", "a", "a9", "a9b", "a10", "b", "²"]
    assert sorted(names, key=natural_order) == expected
    assert sorted(names) != expected


def test_cache_drops_the_least_recently_used_values_at_its_size() -> None:
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
    cache.put(keys[3], b"larger than the whole cache", 27)
    assert [cache.get(key) for key in keys] == [None] * 4
    cache.put(keys[0], b"aaaa", 4)
    assert cache.get(keys[0]) == b"aaaa"
