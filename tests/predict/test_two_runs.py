"""One run writes to a folder at a time; where that cannot be enforced, no row is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
from torch.utils.data import DataLoader

from lightning_leaf import LeafError
from lightning_leaf.predict import LeafPredictor, MeasurementWriter, read_measurements
from lightning_leaf.predict import lock as lock_module
from lightning_leaf.predict.folder import MeasurementFolder
from lightning_leaf.predict.lock import RunLock
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict.measuring import (
    BATCH,
    INPUTS,
    QUIET,
    classifier,
    data,
    write,
)

pytestmark = [
    *ignore_lightning,
    pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero"),
]

HOLDER = """
import importlib.util, os, sys, time
from pathlib import Path

spec = importlib.util.spec_from_file_location("lock", sys.argv[2])  # without importing torch
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
lock = module.RunLock(Path(sys.argv[1]))
assert lock.acquire()
if os.fork() == 0:  # a worker process that outlives its run
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_second_run_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, limit_predict_batches=3)
    lock = RunLock(tmp_path)
    assert lock.acquire()
    before = sorted(tmp_path.iterdir())
    message = rf"is being measured by process {os.getpid()} on .*, started 20.*Wait"
    with pytest.raises(LeafError, match=message):
        write(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    assert read_measurements(tmp_path).num_rows == 3 * BATCH  # reading needs no lock
    lock.release()
    write(tmp_path)
    write(tmp_path)  # a run releases its lock when it ends
    MeasurementFolder(tmp_path).require_complete()


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    class Failing(LeafPredictor):
        def measure(self, *arguments: object) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write(tmp_path, Failing(classifier()))
    write(tmp_path)


def test_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(lock_module.__file__)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        worker = int(holder.stdout.readline())
        with pytest.raises(LeafError, match=f"process {holder.pid} "):
            RunLock(tmp_path).acquire()
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # it is still running
        lock = RunLock(tmp_path)
        assert lock.acquire()
        lock.release()
        os.kill(worker, signal.SIGKILL)


def test_complete_table_needs_no_lock(tmp_path: Path) -> None:
    """It may be in a folder that cannot be written to, or be read by several runs."""
    write(tmp_path)
    lock = RunLock(tmp_path)
    assert lock.acquire()
    write(tmp_path)
    lock.release()


def test_runs_without_locks_lose_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunLock, "acquire", lambda lock: False)
    write(tmp_path, limit_predict_batches=2)
    started = MeasurementWriter(tmp_path, rows_per_file=30)
    loader = started.remaining(DataLoader(data(), BATCH))
    (unfinished := tmp_path / ".part-000000000000-0.parquet.0.tmp").touch()
    write(tmp_path, limit_predict_batches=4)  # another run, which began later
    trainer = L.Trainer(callbacks=[started], limit_predict_batches=6, **QUIET)
    trainer.predict(LeafPredictor(classifier()), loader, return_predictions=False)
    assert unfinished.exists()  # it may be a file of the other run
    with pytest.warns(UserWarning, match=f"contains {4 * BATCH} rows of inputs that have a row"):
        assert read_measurements(tmp_path)["index"].to_pylist() == list(range(8 * BATCH))
    write(tmp_path)  # a third run measures what is missing
    MeasurementFolder(tmp_path).require_complete()
    write(tmp_path / "alone")
    with pytest.warns(UserWarning, match="The first row of each input is used"):
        together = read_measurements(tmp_path)
    assert together.equals(read_measurements(tmp_path / "alone"))


@pytest.mark.parametrize("kind", ["symbolic link", "pipe", "folder"])
def test_lock_of_another_kind_is_refused(tmp_path: Path, kind: str) -> None:
    target, lock = tmp_path / "precious", tmp_path / "table" / ".lock"
    target.write_text("content")
    lock.parent.mkdir()
    if kind == "symbolic link":
        lock.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(LeafError, match=r"table/\.lock") as raised:
        write(lock.parent)
    assert ("is a symbolic link). Delete it" in str(raised.value)) == (kind == "symbolic link")
    assert target.read_text() == "content"


def test_lock_with_a_second_name_is_not_written(tmp_path: Path) -> None:
    """A backup by `cp -al` has the same lock; it may also be the name of any other file."""
    target, lock = tmp_path / "precious", tmp_path / "table" / ".lock"
    target.write_text("content")
    lock.parent.mkdir()
    lock.hardlink_to(target)
    write(lock.parent)
    MeasurementFolder(lock.parent).require_complete()
    first = RunLock(lock.parent)
    assert first.acquire()
    with pytest.raises(LeafError, match="is being measured by another run"):
        RunLock(lock.parent).acquire()
    first.release()
    assert target.read_text() == "content"


def test_lock_of_another_user_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser can write every file, so the system call is replaced."""
    (tmp_path / ".lock").write_text("process 1")
    open_file = os.open

    def denied(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", denied)
    first = RunLock(tmp_path)
    assert first.acquire()
    with pytest.raises(LeafError, match="is being measured by process 1"):
        RunLock(tmp_path).acquire()
    first.release()
    (tmp_path / ".lock").unlink()
    with pytest.raises(LeafError, match="Cannot write"):
        first.acquire()


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    target, folder = tmp_path / "precious", tmp_path / "table"
    target.write_text("{}")
    folder.mkdir()
    (folder / "measurement.json").symlink_to(target)
    write(folder)
    assert target.read_text() == "{}"
    assert not (folder / "measurement.json").is_symlink()
    MeasurementFolder(folder).require_complete()


def test_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "table").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "table")
    assert read_measurements(tmp_path / "elsewhere").num_rows == INPUTS
