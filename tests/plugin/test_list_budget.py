"""The work for a list of snapshots is limited, and what is not read is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from tensorboard_plugin_leaf.store import entries, run_list
from tensorboard_plugin_leaf.store.natural_order import natural_order
from tensorboard_plugin_leaf.store.stored import decode_stored

from tests.plugin.test_hostile_lists import expected, logs
from tests.support.plugin.fake_provider import Event, FakeProvider, Log, event
from tests.support.plugin.limits import examples

ROUTE = "/data/plugin/leaf/"
LIMITS = {"SNAPSHOTS": 40, "STARTS": 20, "NAMES": 20, "LISTED": 30, "DAMAGED": 5, "NATURAL": 25}
# The page shows a hundred damaged snapshots of each run; here five.
MOST_READ = LIMITS["SNAPSHOTS"] + LIMITS["STARTS"] + LIMITS["DAMAGED"]
COUNT = 400


def forged(tag: str) -> tuple[str, Event]:
    return tag, Event(b"{", (b"",))


SNAPSHOTS: dict[str, Callable[[int], tuple[str, Event | None]]] = {
    "damaged, of other names": lambda i: forged(f"n{i}/000000000000-{0:016x}"),
    "damaged, of one name": lambda i: forged(f"n/{i:012d}-{0:016x}"),
    "damaged, of other sessions": lambda i: forged(f"n/{i % 7:012d}-{i:016x}"),
    "damaged, of one session that is newer": lambda i: forged(f"n/{i:012d}-{i > 0:016x}"),
    "without a tag": lambda i: forged(f"{i}/x"),
    "of other names": lambda i: event(1, name=f"n{i}"),
    "of other sessions": lambda i: event(i, i, i),
    "of other names and sessions": lambda i: event(i, i, i, name=f"n{i % 150}"),
}


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in LIMITS.items():
        monkeypatch.setattr(run_list, f"MAX_{name}", limit)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the tags of the indices that are decoded, while they are."""
    tags: list[str] = []

    def counting(snapshot: Any) -> Any:
        tags.append(snapshot.tag)
        return decode_stored(snapshot)

    monkeypatch.setattr(entries, "decode_stored", counting)
    return tags


def listed(provider: FakeProvider) -> Any:
    response = provider.client().get(ROUTE + "snapshots")
    assert response.status_code == 200
    return json.loads(response.text)


def counted(run: Any) -> int:
    found = len(run["snapshots"]) + len(run["damaged"])
    return int(found + run["omitted"] + run["superseded"] + run["damaged_omitted"])


@pytest.mark.parametrize("make", SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_few_indices_are_read_and_all_are_counted(
    make: Callable[[int], tuple[str, Event | None]], small_budget: None, read: list[str]
) -> None:
    provider = FakeProvider({"run": dict(map(make, range(COUNT)))})
    client = provider.client()
    (run,) = json.loads(client.get(ROUTE + "snapshots").text)["runs"]
    assert counted(run) == COUNT
    assert len(read) <= MOST_READ
    read.clear()
    client.get(ROUTE + "snapshots")
    assert read == []


def test_large_run_leaves_the_budget_to_the_others(small_budget: None) -> None:
    resumed: list[tuple[str, Event | None]] = [event(5), event(6), event(5, session=1, start=5)]
    log: Log = {
        "0": dict(map(SNAPSHOTS["damaged, of other sessions"], range(COUNT))),
        "1": dict(map(SNAPSHOTS["damaged, of other names"], range(COUNT))),
        "2": dict(resumed),
    }
    runs = {run["run"]: run for run in listed(FakeProvider(log))["runs"]}
    assert list(runs) == ["0", "1", "2"]
    assert [snapshot["tag"] for snapshot in runs["2"]["snapshots"]] == [resumed[2][0]]
    assert (runs["2"]["superseded"], runs["2"]["omitted"]) == (2, 0)
    assert counted(runs["0"]) == counted(runs["1"]) == COUNT


def test_sessions_beyond_the_budget_are_the_oldest(small_budget: None) -> None:
    log: Log = {"run": dict(event(i, i, i) for i in range(COUNT))}
    (run,) = listed(FakeProvider(log))["runs"]
    assert run["snapshots"][-1]["step"] == COUNT - 1
    assert {item["step"] for item in run["snapshots"]} <= set(range(COUNT - 21, COUNT))


def test_few_runs_are_sorted_in_natural_order(
    small_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def counting(name: str) -> Any:
        names.append(name)
        return natural_order(name)

    monkeypatch.setattr(run_list, "natural_order", counting)
    monkeypatch.setattr(run_list, "MAX_RUNS", 10)
    content = listed(FakeProvider({f"run{i}": dict([event(1)]) for i in range(COUNT)}))
    assert len(names) == 25
    assert (len(content["runs"]), content["runs_omitted"]) == (10, COUNT - 10)


def test_damaged_indices_that_do_not_fit_into_the_list_are_not_read(
    monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    monkeypatch.setattr(run_list, "MAX_LIST_BYTES", 10_000)
    large = {f"n/{i:012d}-{0:016x}": Event(b"{" * 20_000, (b"",)) for i in range(20)}
    (run,) = listed(FakeProvider({"run": dict(large)}))["runs"]
    assert (read, run["omitted"]) == ([], 20)


def test_caches_hold_more_than_a_list_reads() -> None:
    assert entries._STARTS >= run_list.MAX_STARTS
    # Beside the text of the list. The message of a damaged snapshot has about 300 characters.
    kept = run_list.MAX_SNAPSHOTS * (entries._OVERHEAD_BYTES + 300)
    assert run_list.MAX_LIST_BYTES + kept <= entries._ENTRY_CACHE_BYTES


@examples(100)
@given(log=logs())
def test_every_snapshot_is_counted_once(log: Log) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, limit in (("SNAPSHOTS", 6), ("STARTS", 2), ("NAMES", 3), ("DAMAGED", 2)):
            monkeypatch.setattr(run_list, f"MAX_{name}", limit)
        content = listed(FakeProvider(log))
    for run in content["runs"]:
        current, damaged, superseded = expected(log[run["run"]])
        assert {item["tag"] for item in run["snapshots"]} <= current
        assert run["superseded"] <= len(superseded)
        assert counted(run) == len(current) + len(damaged) + len(superseded)
