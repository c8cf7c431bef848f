"""Ways to start TensorBoard: several directories, a prefix, strange names, small reservoirs."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tensorboard_plugin_leaf import tag_of, write

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import ask, await_snapshots, tensorboard

NAMES = ("with spaces/and more", "ünï/コード", "<b>&amp;</b>", "100%25+1#?&run=x")
# The data server of the fast loader cannot read the key that it makes of such a name.
QUOTED = "a'\"b\\c"
SNAPSHOT = synthetic.snapshot(paths=1, path_steps=5)


def write_runs(folder: Path, names: tuple[str, ...]) -> None:
    log = LogDirectory(folder)
    for name in names:
        with log.run(name) as writer:
            write(writer, SNAPSHOT)


def opened(url: str) -> list[str]:
    """The runs that are listed, each of whose snapshots was opened."""
    names = []
    for run in ask(url, "snapshots")["runs"]:
        for snapshot in run["snapshots"]:
            key = urlencode({"run": run["run"], "tag": snapshot["tag"]})
            assert ask(url, f"path?{key}")["steps"] == 5
            with urllib.request.urlopen(f"{url}data/plugin/leaf/frames?{key}", timeout=30) as sheet:
                assert sheet.read(4) == b"\x89PNG"
        names.append(run["run"])
    return names


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_runs_of_any_name_are_opened_under_a_prefix(tmp_path: Path, load_fast: str) -> None:
    write_runs(tmp_path, NAMES)
    with tensorboard(tmp_path, "--path_prefix=/a/prefix", f"--load_fast={load_fast}") as url:
        assert url.endswith("/a/prefix/")
        await_snapshots(url, len(NAMES))
        assert sorted(opened(url)) == sorted(NAMES)


@pytest.mark.parametrize(("loader", "code"), [("python", 200), ("rust", 404)])
def test_quoted_names_are_opened_or_answered_with_a_way_out(
    tmp_path: Path, loader: str, code: int
) -> None:
    write_runs(tmp_path, (QUOTED,))
    with LogDirectory(tmp_path).serve(loader) as client:
        while not client.get("/data/plugin/leaf/snapshots").json["runs"]:
            time.sleep(0.1)
        for route in ("path", "frames"):
            key = {"run": QUOTED, "tag": tag_of(SNAPSHOT)}
            answer = client.get(f"/data/plugin/leaf/{route}", query_string=key)
            assert answer.status_code == code
            assert code == 200 or "--load_fast=false" in answer.text


def test_runs_of_several_directories_are_opened(tmp_path: Path) -> None:
    write_runs(tmp_path / "one", ("run", "other run"))
    write_runs(tmp_path / "two", ("run",))
    spec = f"--logdir_spec=first:{tmp_path / 'one'},second:{tmp_path / 'two'}"
    with tensorboard(None, spec, "--load_fast=auto") as url:
        await_snapshots(url, 3)
        assert opened(url) == ["first/other run", "first/run", "second/run"]


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_no_snapshot_is_lost_whatever_tensorboard_samples(tmp_path: Path, load_fast: str) -> None:
    """Every snapshot has a tag of its own: a reservoir of one step holds it."""
    snapshots = [synthetic.snapshot(step, paths=1, path_steps=5) for step in range(30)]
    with LogDirectory(tmp_path).run("run") as writer:
        for snapshot in snapshots:
            write(writer, snapshot)
        for step in range(30):
            writer.add_scalar("leaf/trace_mean", 1.0, step)
    samples = "--samples_per_plugin=leaf=1,scalars=5"
    with tensorboard(tmp_path, samples, f"--load_fast={load_fast}") as url:
        await_snapshots(url, len(snapshots))
        (run,) = ask(url, "snapshots")["runs"]
        assert [item["tag"] for item in run["snapshots"]] == [tag_of(one) for one in snapshots]
        assert opened(url) == ["run"]
        # The flag was understood: what shares a tag is sampled.
        await_scalars(url)
        points = ask(url, f"scalars?{urlencode({'run': 'run', 'tag': 'leaf/trace_mean'})}")
        assert len(points["steps"]) == 5


def await_scalars(url: str) -> None:
    """Wait for the last event that was written, which `LogDirectory` calls `end`."""
    address = f"{url}data/plugin/scalars/tags"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(address, timeout=30) as tags:
            if any(name.startswith("end/") for run in json.load(tags).values() for name in run):
                return
        time.sleep(0.1)
    raise TimeoutError("TensorBoard did not read the end of the run.")
