"""Unusual and malicious requests: every response has a status below 500."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard_plugin_leaf import tag_of, write
from werkzeug.test import Client, TestResponse

from tests.support.plugin import synthetic
from tests.support.plugin.limits import examples
from tests.support.plugin.logs import LOADERS, LogDirectory

ROUTE = "/data/plugin/leaf/"
ROUTES = ("index.js", "static/index.js", "snapshots", "path", "frames", "scalars")
TYPES = ("application/json", "image/png", "text/javascript", "text/plain")
SNAPSHOT = synthetic.snapshot(7, paths=2, path_steps=5)
RUN = "a run/<b>ünï</b> & 100%+1"
KNOWN = {"run": RUN, "tag": tag_of(SNAPSHOT)}


@pytest.fixture(scope="module", params=LOADERS)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    log = LogDirectory(tmp_path_factory.mktemp("logs"))
    with log.run(RUN) as writer:
        write(writer, SNAPSHOT)
        for name in ("trace_mean", "tangent_dimension"):
            writer.add_scalar(f"leaf/{name}", 1.0, 0)
    with log.serve(request.param) as served:
        yield served


def assert_valid(response: TestResponse) -> None:
    code = response.status_code
    assert code in (200, 304) or 400 <= code < 500, (code, response.data[:200])
    assert code != 304 or response.data == b""
    assert response.content_type.partition(";")[0] in TYPES
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def content_of(response: TestResponse) -> bytes:
    is_compressed = response.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(response.data) if is_compressed and response.data else response.data


value = st.one_of(
    st.sampled_from([*KNOWN.values(), "leaf/trace_mean", "0", "1", "-1", "9" * 30, "", ".."]),
    st.text(max_size=12),
    st.binary(max_size=6),
    st.integers(1, 300_000).map(lambda count: "x" * count),
)
name = st.sampled_from(["run", "tag", "index", "experiment"]) | st.text(max_size=3)
query = st.one_of(
    st.lists(st.tuples(name, value), max_size=6).map(urlencode),
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.just(urlencode(KNOWN) + "&run=" + "&tag=%00" * 100),
)
headers = st.dictionaries(
    st.sampled_from(["If-None-Match", "Accept-Encoding", "Range", "Cookie", "Accept"]),
    st.one_of(
        st.sampled_from(
            ["*", '"x"', 'W/"x"', "W/", '"', "gzip", "gzip;q=0", "bytes=0-1", "a" * 9999]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    ),
    max_size=3,
)


@examples(120)
@given(
    route=st.sampled_from(ROUTES),
    tail=st.sampled_from(["", "", "", "/", "//", "/..", "/%2e%2e", ";a", "%00", "%ff", "*"]),
    query=query,
    method=st.sampled_from(
        ["GET"] * 6 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"]
    ),
    headers=headers,
)
def test_any_request_gets_a_status_below_500(
    client: Client, route: str, tail: str, query: str, method: str, headers: dict[str, str]
) -> None:
    environment = {"QUERY_STRING": query.encode("utf-8", "replace").decode("latin-1")}
    response = client.open(
        ROUTE + route + tail, method=method, headers=headers, environ_overrides=environment
    )
    assert_valid(response)
    # TensorBoard itself sends this text for paths that are not routes of the plugin.
    if content_of(response) != b"Not found" and method not in ("GET", "HEAD"):
        assert response.status_code == 405


@examples(100)
@given(
    parts=st.lists(
        st.sampled_from(["..", ".", "", "index.js", "plugin.py", "etc", "passwd", "\\", "\x00"])
        | st.text(max_size=4),
        max_size=6,
    )
)
def test_only_files_of_the_page_are_served_below_static(client: Client, parts: list[str]) -> None:
    for path in ("/".join(parts), quote("/".join(parts), safe="")):
        response = client.get(f"{ROUTE}static/{path}")
        assert_valid(response)
        assert response.status_code == (404 if parts[-1:] != ["index.js"] else response.status_code)
        assert b"LeafPlugin" not in response.data


def get(client: Client, route: str, **keywords: Any) -> TestResponse:
    parameters = {"scalars": KNOWN | {"tag": "leaf/trace_mean"}}.get(route, KNOWN)
    return client.get(ROUTE + route, query_string=parameters, **keywords)


@pytest.mark.parametrize("route", ROUTES)
def test_unchanged_content_gets_304(client: Client, route: str) -> None:
    full = get(client, route)
    assert_valid(full)
    assert full.status_code == 200
    tag = full.headers["ETag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = get(client, route, headers={"If-None-Match": known, "Accept-Encoding": "gzip"})
        assert again.status_code == 304, known
        assert_valid(again)
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == full.headers["Cache-Control"]
    for unknown in ('"other"', 'W/"other"', tag[:-2], "", tag.upper()):
        changed = get(client, route, headers={"If-None-Match": unknown})
        assert (changed.status_code, changed.data) == (200, full.data)


@pytest.mark.parametrize("route", ROUTES)
def test_only_frames_with_a_digest_are_cached_without_revalidation(
    client: Client, route: str
) -> None:
    assert get(client, route).headers["Cache-Control"] == "no-cache, must-revalidate"
    named = KNOWN | {"digest": get(client, "path").json["digest"]}
    if route != "scalars":
        response = client.get(ROUTE + route, query_string=named)
        is_cached = response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert is_cached is (route == "frames")


@pytest.mark.parametrize("digest", ["", "x", "0" * 32, "0" * 100_000, "\x00"])
def test_frames_of_another_digest_are_not_found_and_not_cached(client: Client, digest: str) -> None:
    response = client.get(ROUTE + "frames", query_string=KNOWN | {"digest": digest})
    assert_valid(response)
    assert response.status_code == 404
    assert "written again" in response.text
    assert response.headers["Cache-Control"] == "no-cache, must-revalidate"


@pytest.mark.parametrize("route", ROUTES)
def test_other_methods_than_get_and_head_get_405(client: Client, route: str) -> None:
    head = client.head(ROUTE + route, query_string=KNOWN | {"tag": "leaf/trace_mean"})
    assert_valid(head)
    assert head.data == b""
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        response = client.open(ROUTE + route, method=method, query_string=KNOWN, data=b"x" * 1000)
        assert_valid(response)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"


def test_run_names_are_listed_unchanged(client: Client) -> None:
    listed = json.loads(client.get(ROUTE + "snapshots").text)
    assert [run["run"] for run in listed["runs"]] == [RUN]
    assert [len(run["snapshots"]) for run in listed["runs"]] == [1]
    similar = {"run": RUN.replace("+", " "), "tag": KNOWN["tag"]}
    assert client.get(ROUTE + "path", query_string=similar).status_code == 404


def test_json_is_compressed_and_png_is_not(client: Client) -> None:
    for route, is_packed in (("snapshots", True), ("path", True), ("frames", False)):
        response = get(client, route, headers={"Accept-Encoding": "gzip"})
        assert (response.headers.get("Content-Encoding") == "gzip") is is_packed
        assert len(response.data) <= len(get(client, route).data)


def test_concurrent_requests_get_the_same_content(client: Client) -> None:
    alone = {route: get(client, route).data for route in ROUTES}
    shuffled = list(itertools.chain.from_iterable([ROUTES] * 5))
    random.Random(0).shuffle(shuffled)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda route: get(client, route), shuffled))
    assert [response.data for response in together] == [alone[route] for route in shuffled]
