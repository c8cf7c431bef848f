"""Snapshots that are written again under the same tag: what is served is what is stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from tensorboard_plugin_leaf import encode, tag_of, write
from tensorboard_plugin_leaf.store import blobs
from werkzeug.test import Client, TestResponse

from tests.support.plugin import synthetic
from tests.support.plugin.fake_provider import Event, FakeProvider
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import HANG_SECONDS, ask, await_snapshots, tensorboard

SNAPSHOT = synthetic.snapshot(7, paths=2, path_steps=5)
OTHER = synthetic.snapshot(7, paths=2, path_steps=5, shape=(9, 9))
TAG = tag_of(SNAPSHOT)
KNOWN = {"run": "run", "tag": TAG}

ROUTE = "/data/plugin/leaf/"
FOREVER = "private, max-age=31536000, immutable"
REVALIDATE = "no-cache, must-revalidate"


def stored(time: float = 1.0) -> Event:
    content, encoded = encode(SNAPSHOT)
    return Event(content, tuple(encoded), 7, time)


def rewritten(event: Event) -> Event:
    """Return the same index with other images."""
    return event._replace(blobs=tuple(encode(OTHER)[1]))


CHANGES: dict[str, Callable[[Event], Event]] = {
    "time": lambda event: rewritten(event)._replace(wall_time=2.0),
    "step": lambda event: rewritten(event)._replace(step=8),
    "index": lambda event: rewritten(event)._replace(
        content=event.content.replace(b'"epoch":0', b'"epoch":1')
    ),
}
"""What TensorBoard lists of a snapshot that was written again."""


def frames(client: Client, digest: str | None = None) -> TestResponse:
    parameters = KNOWN if digest is None else KNOWN | {"digest": digest}
    return client.get(ROUTE + "frames", query_string=parameters)


def digest(client: Client, index: int = 0) -> str:
    response = client.get(ROUTE + "path", query_string=KNOWN | {"index": index})
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == REVALIDATE
    return str(response.json["digest"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_snapshot_that_was_written_again_is_read_again(change: Callable[[Event], Event]) -> None:
    provider = FakeProvider({"run": {TAG: stored()}})
    client = provider.client()
    before, images = digest(client), frames(client)
    changed = change(stored())
    provider.log["run"][TAG] = changed
    after = digest(client)
    assert after != before
    assert frames(client).data != images.data
    assert frames(client, after).data == frames(client).data
    assert client.get(ROUTE + "path", query_string=KNOWN).json["frames"]["height"] == 9
    # The address with the old digest never shows the new frames.
    outdated = frames(client, before)
    assert outdated.status_code == 404
    assert "Reload the page" in outdated.text


def test_frames_may_be_kept_forever_only_if_the_address_has_their_digest() -> None:
    client = FakeProvider({"run": {TAG: stored()}}).client()
    named = frames(client, digest(client))
    assert (named.status_code, named.headers["Cache-Control"]) == (200, FOREVER)
    unnamed = frames(client)
    assert (unnamed.status_code, unnamed.headers["Cache-Control"]) == (200, REVALIDATE)
    etag = unnamed.headers["ETag"]
    assert frames(client, "0" * 32).headers["Cache-Control"] == REVALIDATE
    response = client.get(ROUTE + "frames", query_string=KNOWN, headers={"If-None-Match": etag})
    assert response.status_code == 304


def test_digests_are_those_of_the_stored_bytes() -> None:
    client = FakeProvider({"run": {TAG: stored()}}).client()
    assert digest(client, 0) != digest(client, 1)
    again = FakeProvider({"run": {TAG: stored(time=9.0)}}).client()
    assert digest(again, 0) == digest(client, 0)
    assert len(digest(client)) == 32


def test_blobs_are_read_once_while_nothing_changes() -> None:
    provider = FakeProvider({"run": {TAG: stored()}})
    client = provider.client()
    known = digest(client)
    assert provider.calls.count("read_blob") == 1
    provider.calls.clear()
    frames(client, known)
    assert provider.calls == [], "frames of a known digest need no answer of the data server"
    digest(client)
    frames(client)
    assert provider.calls == ["list_blob_sequences"] * 2


def test_blobs_of_an_unchanged_list_are_read_again_after_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(blobs, "time", SimpleNamespace(monotonic=lambda: now))
    provider = FakeProvider({"run": {TAG: stored()}})
    client = provider.client()
    before = digest(client)
    # Time, step and index are equal. The data provider lists nothing else.
    provider.log["run"][TAG] = rewritten(stored())
    now += blobs.MAX_AGE_SECONDS - 1
    assert digest(client) == before
    now += 2
    after = digest(client)
    assert after != before
    assert frames(client, before).status_code == 404
    provider.calls.clear()
    now += blobs.MAX_AGE_SECONDS - 1
    assert digest(client) == after
    assert "read_blob" not in provider.calls


def test_snapshot_that_was_written_again_has_a_new_entry_in_the_list() -> None:
    provider = FakeProvider({"run": {TAG: stored()}})
    client = provider.client()
    assert client.get(ROUTE + "snapshots").json["runs"][0]["snapshots"][0]["epoch"] == 0
    provider.log["run"][TAG] = CHANGES["index"](stored())
    (snapshot,) = client.get(ROUTE + "snapshots").json["runs"][0]["snapshots"]
    assert snapshot["epoch"] == 1
    provider.log["run"][TAG] = stored()._replace(content=b"{")
    (run,) = client.get(ROUTE + "snapshots").json["runs"]
    assert (run["snapshots"], run["damaged"][0]["tag"]) == ([], TAG)


def test_data_server_shows_an_event_that_is_written_later(tmp_path: Path) -> None:
    log = LogDirectory(tmp_path)
    with log.run("run") as writer:
        write(writer, SNAPSHOT)
    with tensorboard(tmp_path, "--load_fast=true", "--reload_interval=1") as url:
        await_snapshots(url, 1)
        route = f"path?{urlencode(KNOWN)}"
        before = ask(url, route)["digest"]
        with log.run("run") as writer:
            write(writer, OTHER)
        deadline = time.monotonic() + HANG_SECONDS
        while ask(url, route)["digest"] == before:
            assert time.monotonic() < deadline, "the later event is not shown"
            time.sleep(0.1)
        assert ask(url, route)["frames"]["height"] == 9
