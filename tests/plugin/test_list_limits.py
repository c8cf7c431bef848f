"""The list of snapshots has a limited size, costs limited work, and counts what it omits."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard_plugin_leaf.store import run_list
from tensorboard_plugin_leaf.store.thinning import thinned

from tests.support.plugin.fake_provider import Event, FakeProvider, Log, event
from tests.support.plugin.limits import examples, limited_work

ROUTE = "/data/plugin/leaf/"

Snapshots = list[tuple[str, Event]]


def listed(provider: FakeProvider) -> Any:
    response = provider.client().get(ROUTE + "snapshots")
    assert response.status_code == 200
    return json.loads(response.text)


def only_run(provider: FakeProvider) -> Any:
    (run,) = listed(provider)["runs"]
    return run


def logged_one_after_another(count: int) -> Snapshots:
    return [event(step) for step in range(count)]


def resumed_at_each_step(count: int) -> Snapshots:
    return [event(step, session=step, start=step) for step in range(count)]


def restarted_each_time(count: int) -> Snapshots:
    return [event(count - session, session=session) for session in range(count)]


def of_other_names(count: int) -> Snapshots:
    return [event(1, name=f"name{number}") for number in range(count)]


def damaged(count: int) -> Snapshots:
    return [(event(step)[0], Event(b"[" * 1000, (b"",))) for step in range(count)]


def without_a_tag(count: int) -> Snapshots:
    return [(f"{number}/x", event(number)[1]) for number in range(count)]


@pytest.mark.parametrize(
    "snapshots",
    [
        logged_one_after_another,
        resumed_at_each_step,
        restarted_each_time,
        of_other_names,
        damaged,
        without_a_tag,
    ],
)
def test_work_is_linear_in_the_number_of_snapshots(
    snapshots: Callable[[int], Snapshots],
) -> None:
    count = 500
    client = FakeProvider({"run": dict(snapshots(count))}).client()
    with limited_work(20, calls=700 * count):
        client.get(ROUTE + "snapshots")
    # The second list reads no index. Quadratic work would be 250 calls for each snapshot.
    with limited_work(20, calls=80 * count):
        client.get(ROUTE + "snapshots")


def test_long_runs_are_thinned_evenly_and_keep_both_ends() -> None:
    run = only_run(FakeProvider({"run": dict(logged_one_after_another(20_000))}))
    steps = [snapshot["step"] for snapshot in run["snapshots"]]
    assert 500 <= len(steps) <= 1000
    assert (steps[0], steps[-1]) == (0, 19_999)
    assert {after - before for before, after in pairwise(steps[:-1])} == {32}
    assert run["omitted"] == 20_000 - len(steps)


def test_each_name_of_a_long_run_keeps_its_own_snapshots() -> None:
    rare = [event(step, name="rare") for step in (5, 7)]
    snapshots = [*logged_one_after_another(1200), *rare]
    run = only_run(FakeProvider({"run": dict(snapshots)}))
    assert [item["step"] for item in run["snapshots"] if item["name"] == "rare"] == [5, 7]


@given(st.integers(0, 5000), st.integers(2, 50))
@examples(200)
def test_thinned_items_stay_left_out_while_a_run_grows(count: int, limit: int) -> None:
    before, after = (thinned(range(length), limit) for length in (count, count + 1))
    assert len(after) <= limit
    assert (after[0], after[-1]) == (0, count)
    # The last one may be left out when it is no longer the last.
    assert set(after) - {count} <= set(before)


def test_ordinary_logs_are_listed_completely() -> None:
    snapshots = [
        event(step, name=name, session=session, start=500 * session, padding=1500)
        for name in ("horizontal_path", "orthogonal_walk")
        for session in range(2)
        for step in range(500 * session, 500 * (session + 1), 5)
    ]
    log: Log = {f"version_{number}": dict(snapshots) for number in range(10)}
    content = listed(FakeProvider(log))
    assert content["runs_omitted"] == 0
    assert [run["run"] for run in content["runs"]] == list(log)
    for run in content["runs"]:
        assert len(run["snapshots"]) == len(snapshots)
        assert (run["omitted"], run["superseded"], run["damaged_omitted"]) == (0, 0, 0)


def test_superseded_snapshots_are_counted() -> None:
    log: Log = {"run": dict([event(1), event(2), event(3), event(2, session=1, start=2)])}
    run = only_run(FakeProvider(log))
    assert [snapshot["step"] for snapshot in run["snapshots"]] == [1, 2]
    assert (run["superseded"], run["omitted"]) == (2, 0)


@pytest.mark.parametrize("make", [damaged, without_a_tag])
def test_damaged_snapshots_are_counted_beyond_a_hundred(
    make: Callable[[int], Snapshots],
) -> None:
    good = ("good/000000000001-0000000000000000", event(1, name="good")[1])
    run = only_run(FakeProvider({"run": dict([*make(300), good])}))
    assert [snapshot["tag"] for snapshot in run["snapshots"]] == [good[0]]
    assert [item["tag"] for item in run["damaged"]] == sorted(tag for tag, _ in make(300))[:100]
    assert run["damaged_omitted"] == 200


def test_runs_and_scalars_are_counted_beyond_their_limits() -> None:
    names = ("trace_mean", "tangent_dimension")
    tags = [f"{prefix}/{name}" for prefix in range(150) for name in names]
    long = [f"{'x' * 1_000_000}/{name}" for name in names]
    scalars = {f"run{number}": tags for number in range(3)} | {"run0": tags + long}
    log: Log = {f"run{number}": dict([event(1)]) for number in range(3000)}
    content = listed(FakeProvider(log, scalars))
    assert (len(content["runs"]), content["runs_omitted"]) == (2000, 1000)
    assert [len(run["scalars"]) for run in content["runs"][:4]] == [200, 200, 200, 0]
    assert [run["scalars_omitted"] for run in content["runs"][:4]] == [102, 100, 100, 0]


LARGE: dict[str, Log] = {
    "steps": {"run": dict(event(step, padding=10_000) for step in range(300))},
    "names": {"run": dict(event(1, name=f"name{i}", padding=10_000) for i in range(300))},
    "runs": {f"run{number}": dict([event(1, padding=10_000)]) for number in range(300)},
    "long runs": {f"{'é' * 4000}{number}": dict([event(1)]) for number in range(300)},
    "damaged": {
        f"run{number}": {f"{i}{'x' * 500}": Event(b"", ()) for i in range(100)}
        for number in range(30)
    },
}


@pytest.mark.parametrize("log", LARGE.values(), ids=LARGE)
def test_list_has_a_limited_size(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 2**20
    assert len(FakeProvider(log).client().get(ROUTE + "snapshots").data) > limit
    monkeypatch.setattr(run_list, "MAX_LIST_BYTES", limit)
    response = FakeProvider(log).client().get(ROUTE + "snapshots")
    assert limit / 10 < len(response.data) < limit + 100
    content = json.loads(response.text)
    assert len(content["runs"]) + content["runs_omitted"] == len(log)


def test_large_snapshots_are_thinned_before_runs_are_omitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_list, "MAX_LIST_BYTES", 2**20)
    log: Log = {
        f"run{number}": dict(event(step, padding=1000) for step in range(200))
        for number in range(10)
    }
    content = listed(FakeProvider(log))
    assert content["runs_omitted"] == 0
    for run in content["runs"]:
        assert len(run["snapshots"]) >= 30
        assert run["snapshots"][-1]["step"] == 199
        assert len(run["snapshots"]) + run["omitted"] == 200


def test_asking_whether_the_tab_is_active_lists_no_snapshots() -> None:
    for log in ({}, {"run": dict([event(1)])}):
        provider = FakeProvider(log)
        listing = provider.client().get("/data/plugins_listing").json
        assert listing["leaf"]["enabled"] is bool(log)
        assert "list_blob_sequences" not in provider.calls


def test_indices_are_kept_as_text_and_not_as_objects() -> None:
    tag, one = event(1)
    values = json.loads(one.content)
    count = 2000
    many = json.dumps(values | {"paths": values["paths"] * count}).encode()
    log: Log = {"run": {tag: Event(many, (b"",) * count)}}
    client = FakeProvider(log).client()
    client.get(ROUTE + "snapshots")
    log["run"][tag] = Event(many.replace(b'"epoch": 2', b'"epoch": 3'), (b"",) * count)
    tracemalloc.start()
    size = len(client.get(ROUTE + "snapshots").data)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 500_000
    assert kept < 1.5 * size
    assert peak > 5 * size, "the measurement notices the objects"
