"""After kill -9 during the writing of a snapshot, everything logged before can be read."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.callbacks.killed import SNAPSHOT_STEPS, train
from tests.support.callbacks.training import ignore_lightning, scalars, snapshots
from tests.support.tensorboard_process import ask, await_snapshots, tensorboard

pytestmark = ignore_lightning


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed while writing the snapshot of step 7."""
    root = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.callbacks.killed", str(root)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    return root


def test_everything_before_the_killed_write_can_be_read(killed: Path) -> None:
    (file,) = killed.rglob("events.out.tfevents.*")
    # The file contains half of the snapshot of step 7 …
    assert b"horizontal_path/000000000007" in file.read_bytes()
    assert [each.step for each in snapshots(killed)] == [2, 5]
    # … and all that was logged before.
    logged = scalars(killed)
    assert list(logged["leaf/trace_mean"]) == [0, 2, 4, 6]
    assert list(logged["loss"]) == list(range(7))


def test_after_a_resume_the_tab_shows_one_snapshot_per_step_from_the_newest_run(
    killed: Path,
) -> None:
    (saved,) = (killed / "saved").glob("*step=4.ckpt")
    train(killed, saved)
    written = snapshots(killed)
    assert sorted(each.step for each in written) == [2, 5, 5, 7]
    first, second = sorted({each.session for each in written})
    with tensorboard(killed, "--load_fast=false") as url:
        await_snapshots(url, len(SNAPSHOT_STEPS))
        (run,) = ask(url, "snapshots")["runs"]
    assert run["damaged"] == []
    assert {each["step"]: each["session"] for each in run["snapshots"]} == {
        2: first, 5: second, 7: second
    }  # fmt: skip
    assert len(run["snapshots"]) == len(SNAPSHOT_STEPS)
