"""Random hostile logs: the list agrees with a slow definition, and nothing is lost or invented."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard_plugin_leaf.schema.fields import MAX_INTEGER
from tensorboard_plugin_leaf.schema.snapshot import MAX_STEP
from tensorboard_plugin_leaf.store import run_list
from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags
from tensorboard_plugin_leaf.store.natural_order import natural_order
from tensorboard_plugin_leaf.store.snapshot_tag import parse_tag

from tests.support.plugin.fake_provider import Event, FakeProvider, Log, event
from tests.support.plugin.limits import Overlap, examples

ROUTE = "/data/plugin/leaf/"
LONG = 1_000_000

steps = st.integers(0, 6) | st.sampled_from([MAX_STEP, MAX_STEP - 1])
sessions = st.integers(0, 4) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1])
starts = st.integers(0, 6) | st.sampled_from([MAX_INTEGER, MAX_STEP])
names = st.sampled_from(["a", "b", ".", "-", "constructor", "__proto__", "0" * 300])
texts = st.sampled_from(["", "/", "a/1-2", "\ud800", "\x00", "<b>", "a\n", "é" * 400]) | st.text()
DEEP = b'{"schema":1,"paths":' + b"[" * 100_000


@st.composite
def snapshot(draw: st.DrawFn, session_starts: Mapping[tuple[str, int], int]) -> tuple[str, Any]:
    """Draw a snapshot, valid or damaged. All snapshots of a session have the same start."""
    name, session = draw(st.sampled_from(sorted(session_starts)))
    tag, valid = event(draw(steps), session, session_starts[name, session], name)
    changes = {
        "another tag": (draw(texts), valid),
        "no tensor": (tag, None),
        "damaged": (tag, valid._replace(content=draw(st.binary(max_size=9)))),
        "deep": (tag, valid._replace(content=DEEP)),
        "huge": (tag, valid._replace(content=bytes(2**20 + 1))),
        "another number of paths": (tag, valid._replace(blobs=valid.blobs * 2)),
        "another step": (tag, event(draw(steps), session, 0, name)[1]),
        "another session": (tag, event(0, draw(sessions), 0, name)[1]),
        "times": (tag, valid._replace(wall_time=draw(st.floats()))),
        "purged": (tag, valid._replace(step=None)),
        "valid": (tag, valid),
    }
    kinds = [*changes, *["valid"] * len(changes)]
    return changes[draw(st.sampled_from(kinds))]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    keys = st.tuples(names, sessions)
    session_starts = draw(st.dictionaries(keys, starts, min_size=1, max_size=6))
    runs = st.lists(snapshot(session_starts), max_size=25).map(dict)
    return draw(st.dictionaries(texts, runs, max_size=4))


def is_valid(tag: str, stored: Event | None) -> bool:
    if stored is None or len(stored.blobs) != 1:
        return False
    try:
        index = json.loads(stored.content)
        return tag == f"{index['name']}/{index['step']:012d}-{index['session']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def expected(events: Mapping[str, Event | None]) -> tuple[set[str], set[str], set[str]]:
    """Return the tags that are listed, damaged and superseded, by their definitions."""
    present = {tag: one for tag, one in events.items() if one is None or one.step is not None}
    valid = {tag: json.loads(one.content) for tag, one in present.items() if is_valid(tag, one)}
    parsed = {tag: parse_tag(tag) for tag, one in present.items() if one is not None}
    superseded = {
        tag
        for tag, old in parsed.items()
        if old is not None
        and any(
            new["name"] == old.name
            and new["session"] > old.session
            and new["session_start_step"] <= old.step
            for new in valid.values()
        )
    }
    listed = set(valid) - superseded
    return listed, set(present) - listed - superseded, superseded


def listed_runs(log: Log) -> dict[str, Any]:
    response = FakeProvider(log).client().get(ROUTE + "snapshots")
    assert response.status_code == 200
    return {run["run"]: run for run in json.loads(response.text)["runs"]}


@examples(150)
@given(logs())
def test_list_is_that_of_the_definition(log: Log) -> None:
    runs = listed_runs(log)
    assert set(runs) == {name for name, events in log.items() if events}
    for name, run in runs.items():
        current, damaged, superseded = expected(log[name])
        tags = [item["tag"] for item in run["snapshots"]]
        assert sorted(tags) == sorted(current)
        assert [item["step"] for item in run["snapshots"]] == sorted(
            item["step"] for item in run["snapshots"]
        )
        assert {item["tag"] for item in run["damaged"]} == {tag[:300] for tag in damaged}
        assert (run["superseded"], run["omitted"]) == (len(superseded), 0)
        assert all(item["message"] for item in run["damaged"])


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("RUNS", 2), ("LISTED", 3), ("DAMAGED", 2), ("LIST_BYTES", 4000)):
        monkeypatch.setattr(run_list, f"MAX_{name}", limit)


@examples(100)
@given(log=logs())
def test_every_snapshot_is_listed_or_counted(small_limits: None, log: Log) -> None:
    response = FakeProvider(log).client().get(ROUTE + "snapshots")
    assert len(response.data) <= 4000
    content = json.loads(response.text)
    assert len(content["runs"]) + content["runs_omitted"] == sum(map(bool, log.values()))
    for run in content["runs"]:
        current, damaged, superseded = expected(log[run["run"]])
        listed = len(run["snapshots"])
        found = len(run["damaged"]) + run["damaged_omitted"]
        assert {item["tag"] for item in run["snapshots"]} <= current
        assert run["superseded"] == len(superseded)
        assert listed + run["omitted"] + found == len(current) + len(damaged)
        assert len(run["damaged"]) <= 2
        assert listed <= 3 * 7


def test_forged_session_hides_nothing_unless_its_index_is_valid() -> None:
    (old, good), (forged, _) = event(5), event(0, session=2**64 - 1)
    (run,) = listed_runs({"run": {old: good, forged: Event(DEEP, (b"",))}}).values()
    assert [item["tag"] for item in run["snapshots"]] == [old]
    assert run["superseded"] == 0


def test_sessions_are_ordered_by_their_identifiers_and_not_by_time() -> None:
    for early, late in ((1.0, 2.0), (2.0, 1.0)):
        (old, first), (new, second) = event(5), event(4, session=1, start=3)
        events = {old: first._replace(wall_time=early), new: second._replace(wall_time=late)}
        for order in (events, dict(reversed(events.items()))):
            (run,) = listed_runs({"run": order}).values()
            assert [item["tag"] for item in run["snapshots"]] == [new]
            assert run["superseded"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "1" * LONG,
        "٣" * LONG,
        "a" * LONG,
        "/" * LONG,
        "1a" * (LONG // 2),
        "a/" * (LONG // 2),
        "/effective_rank_a" * (LONG // 17),
        "a/" + "0" * LONG,
        "-" * LONG,
        "\n" * LONG,
    ],
    ids=lambda text: f"{text[:18]!r}",
)
def test_names_and_tags_of_any_length_are_read(text: str) -> None:
    # Quadratic matching, and converting a million digits, would not end.
    assert sorted([text + "2", text + "10", text], key=natural_order)[0] == text
    assert parse_tag(text) is None
    assert parse_tag(f"{text}/000000000001-0000000000000000") is None or "/" not in text
    assert text not in monitor_tags([text, f"{text}/trace_mean", f"{text}/tangent_dimension"])


@examples(300)
@given(st.lists(st.text(st.sampled_from("0123٣²a/_ ")), max_size=6))
def test_natural_order_is_that_of_integers(names: list[str]) -> None:
    import re

    def by_integer(name: str) -> list[Any]:
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]

    assert sorted(names, key=natural_order) == sorted(names, key=by_integer)


def test_lists_are_made_one_at_a_time() -> None:
    """TensorBoard copies all indices for each list."""
    overlap = Overlap()

    class Counting(FakeProvider):
        def list_blob_sequences(self, ctx: Any, **arguments: Any) -> Any:
            with overlap:
                return super().list_blob_sequences(ctx, **arguments)

    tag, stored = event(1)
    client = Counting({"run": {tag: stored}}).client()
    with ThreadPoolExecutor(4) as pool:
        routes = [ROUTE + "snapshots"] * 4
        assert [response.status_code for response in pool.map(client.get, routes)] == [200] * 4
        assert overlap.most == 1
        # Negative control: the counter sees requests that overlap.
        queries = [f"{ROUTE}path?run=run&tag={tag}"] * 4
        assert [response.status_code for response in pool.map(client.get, queries)] == [200] * 4
        assert overlap.most > 1


def test_snapshots_may_change_while_they_are_listed() -> None:
    log: Log = {"run": dict(event(step) for step in range(50))}
    client = FakeProvider(log).client()
    stop = threading.Event()

    def change() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            log["run"] = dict(event(step + i, session=step % 3) for i in range(50))

    with ThreadPoolExecutor(5) as pool:
        changing = pool.submit(change)
        routes = [ROUTE + "snapshots", ROUTE + "path?run=run&tag=" + event(3)[0]] * 40
        codes = {response.status_code for response in pool.map(client.get, routes)}
        stop.set()
        changing.result()
    assert codes <= {200, 404}
