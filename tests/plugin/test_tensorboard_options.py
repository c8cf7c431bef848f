"""The plugin under TensorBoard's options: directories, prefix, run names, sampling."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tensorboard_plugin_leaf import tag_of, write

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import (
    HANG_SECONDS,
    ask,
    await_snapshots,
    fetch,
    tensorboard,
)

NAMES = ("with spaces/and more", "ünï/コード", "<b>&amp;</b>", "100%25+1#?&run=x")
# The Rust data server cannot read its own blob keys if a name has quotes or backslashes.
QUOTED = "a'\"b\\c"
SNAPSHOT = synthetic.snapshot(paths=1, path_steps=5)


def write_runs(folder: Path, names: tuple[str, ...]) -> LogDirectory:
    log = LogDirectory(folder)
    for name in names:
        with log.run(name) as writer:
            write(writer, SNAPSHOT)
    return log


def open_all(url: str) -> list[str]:
    """Open every snapshot, and return the names of the listed runs."""
    names = []
    for run in ask(url, "snapshots")["runs"]:
        for snapshot in run["snapshots"]:
            key = urlencode({"run": run["run"], "tag": snapshot["tag"]})
            assert ask(url, f"path?{key}")["steps"] == 5
            assert fetch(f"{url}data/plugin/leaf/frames?{key}").startswith(b"\x89PNG")
        names.append(run["run"])
    return names


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_runs_with_any_name_can_be_opened_under_a_path_prefix(
    tmp_path: Path, load_fast: str
) -> None:
    write_runs(tmp_path, NAMES)
    with tensorboard(tmp_path, "--path_prefix=/a/prefix", f"--load_fast={load_fast}") as url:
        assert url.endswith("/a/prefix/")
        await_snapshots(url, len(NAMES))
        assert sorted(open_all(url)) == sorted(NAMES)


@pytest.mark.parametrize(("loader", "code"), [("python", 200), ("rust", 404)])
def test_runs_with_quotes_can_be_opened_or_the_error_names_the_option_to_use(
    tmp_path: Path, loader: str, code: int
) -> None:
    with write_runs(tmp_path, (QUOTED,)).serve(loader) as client:
        for route in ("path", "frames"):
            key = {"run": QUOTED, "tag": tag_of(SNAPSHOT)}
            response = client.get(f"/data/plugin/leaf/{route}", query_string=key)
            assert response.status_code == code
            assert code == 200 or "--load_fast=false" in response.text


def test_runs_in_several_directories_can_be_opened(tmp_path: Path) -> None:
    write_runs(tmp_path / "one", ("run", "other run"))
    write_runs(tmp_path / "two", ("run",))
    spec = f"--logdir_spec=first:{tmp_path / 'one'},second:{tmp_path / 'two'}"
    with tensorboard(None, spec, "--load_fast=auto") as url:
        await_snapshots(url, 3)
        assert open_all(url) == ["first/other run", "first/run", "second/run"]


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_sampling_drops_no_snapshot(tmp_path: Path, load_fast: str) -> None:
    """Every snapshot has its own tag, so that a reservoir of one step keeps it."""
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
        assert open_all(url) == ["run"]
        # Negative control: TensorBoard applies the option, and samples the steps of a shared tag.
        await_scalars(url)
        points = ask(url, f"scalars?{urlencode({'run': 'run', 'tag': 'leaf/trace_mean'})}")
        assert len(points["steps"]) == 5


def await_scalars(url: str) -> None:
    """Wait until TensorBoard lists the last event of the run, whose tag starts with ``end``."""
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline:
        tags = json.loads(fetch(f"{url}data/plugin/scalars/tags"))
        if any(name.startswith("end/") for run in tags.values() for name in run):
            return
        time.sleep(0.1)
    raise TimeoutError("TensorBoard did not list the last event of the run.")
