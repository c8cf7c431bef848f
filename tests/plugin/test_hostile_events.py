"""Damaged and malicious event files in a running TensorBoard, with either loader."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tensorboard.compat.proto import summary_pb2
from tensorboard.context import RequestContext
from tensorboard_plugin_leaf import write

from tests.support.plugin import synthetic
from tests.support.plugin.hostile_logs import (
    CONTENTS,
    DAMAGED_RUN,
    GOOD_RUNS,
    GOOD_TAG,
    SCRIPTS,
    TENSOR_TAGS,
    await_hostile_logs,
    write_hostile_logs,
)
from tests.support.plugin.limits import limited_work
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import HANG_SECONDS, ask, fetch, tensorboard


@pytest.fixture(scope="module", params=["false", "true"], ids=["python", "fast"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile_logs(folder)
    with tensorboard(folder, f"--load_fast={request.param}") as address:
        await_hostile_logs(address)
        yield address


def status(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=HANG_SECONDS) as response:
            return response.status, response.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"]


def by_run(url: str) -> dict[str, Any]:
    return {run["run"]: run for run in ask(url, "snapshots")["runs"]}


def test_valid_and_damaged_snapshots_are_listed(url: str) -> None:
    runs = by_run(url)
    for name in GOOD_RUNS:
        assert GOOD_TAG in [snapshot["tag"] for snapshot in runs[name]["snapshots"]], name
        assert name == DAMAGED_RUN or runs[name]["damaged"] == []
    damaged = {item["tag"]: item["message"] for item in runs[DAMAGED_RUN]["damaged"]}
    assert {f"content/{name}" for name in CONTENTS} | set(SCRIPTS) <= set(damaged)
    assert "upgrade" in damaged["content/newer"]
    assert all(20 < len(message) < 1000 for message in damaged.values())
    # Only tags that were written, each once.
    listed = [snapshot["tag"] for snapshot in runs[DAMAGED_RUN]["snapshots"]]
    known = {*TENSOR_TAGS.values(), GOOD_TAG}
    assert set(listed) <= known
    assert not set(listed) & set(damaged)


def test_every_path_is_served_or_not_found(url: str) -> None:
    codes = set()
    for run in by_run(url).values():
        tags = [*(item["tag"] for item in run["snapshots"] + run["damaged"])]
        if run["run"] == DAMAGED_RUN:
            tags += TENSOR_TAGS.values()
        for tag in tags:
            for index in (0, 2):
                key = urlencode({"run": run["run"], "tag": tag, "index": index})
                for route in ("path", "frames"):
                    code, content_type = status(f"{url}data/plugin/leaf/{route}?{key}")
                    assert code in (200, 404), (tag, index)
                    assert content_type.startswith(
                        ("application/json", "image/png") if code == 200 else "text/plain"
                    )
                    codes.add((run["run"], tag, code))
    assert all((name, GOOD_TAG, 200) in codes for name in GOOD_RUNS)
    assert all((DAMAGED_RUN, f"content/{name}", 200) not in codes for name in CONTENTS)


def test_other_tabs_work(url: str) -> None:
    listing = json.loads(fetch(f"{url}data/plugins_listing"))
    assert listing["leaf"]["enabled"] is True
    assert listing["scalars"]["enabled"] is True
    scalars = json.loads(fetch(f"{url}data/plugin/scalars/tags"))
    assert all("loss" in scalars[name] for name in GOOD_RUNS)
    for name in GOOD_RUNS:
        key = urlencode({"run": name, "tag": "loss"})
        assert status(f"{url}data/plugin/scalars/scalars?{key}")[0] == 200


def test_directory_without_damage_lists_no_damage(tmp_path: Path) -> None:
    log = LogDirectory(tmp_path)
    with log.run("run") as writer:
        write(writer, synthetic.snapshot(100))
    with log.serve("python") as client:
        (run,) = client.get("/data/plugin/leaf/snapshots").json["runs"]
    assert run["damaged"] == []
    assert [snapshot["tag"] for snapshot in run["snapshots"]] == [GOOD_TAG]


def test_data_provider_raises_for_an_event_without_tensor(tmp_path: Path) -> None:
    log = write_hostile_logs(tmp_path)
    with log.provider("python") as provider, pytest.raises(KeyError, match="tensor"):
        provider.list_blob_sequences(RequestContext(), experiment_id="", plugin_name="leaf")


@pytest.mark.parametrize(("size", "code"), [(None, 200), (1, 200), (2, 404), (2**28, 404)])
def test_scalars_that_declare_many_numbers_allocate_no_memory(
    tmp_path: Path, size: int | None, code: int
) -> None:
    log = LogDirectory(tmp_path)
    with log.run("run") as writer:
        metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_SCALAR)
        metadata.plugin_data.plugin_name = "scalars"
        value = summary_pb2.Summary.Value(tag="leaf/trace_mean", metadata=metadata)
        value.tensor.dtype = 1
        value.tensor.float_val.append(0.5)
        if size is not None:
            value.tensor.tensor_shape.dim.add().size = size
        writer._get_file_writer().add_summary(summary_pb2.Summary(value=[value]), 1)
    key = {"run": "run", "tag": "leaf/trace_mean"}
    with log.serve("python") as client:
        client.get("/data/plugin/leaf/scalars", query_string=key)
        with limited_work(4):
            response = client.get("/data/plugin/leaf/scalars", query_string=key)
    assert response.status_code == code
