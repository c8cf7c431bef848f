"""A clock of the machine that a test sets, and what the LEAF tab lists after a resume under it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import writer as tensorboard_writer

from lightning_leaf.callbacks import shared_fit
from lightning_leaf.display import sessions
from lightning_leaf.loops import writer
from tests.support.plugin.logs import LogDirectory

HOUR = 3600.0


@dataclass
class MachineClock:
    """The clock by which sessions are identified and event files are named.

    Attributes:
        now: Seconds since 1970.
    """

    now: float

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> MachineClock:
        """Return a clock that starts at the present time, in a process that knows no session."""
        clock = cls(time.time())
        fake = SimpleNamespace(time=lambda: clock.now, time_ns=lambda: int(clock.now * 1e9))
        monkeypatch.setattr(sessions, "time", fake)
        monkeypatch.setattr(event_file_writer, "time", fake)
        monkeypatch.setattr(tensorboard_writer, "time", fake)
        new_process(monkeypatch)
        return clock


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the sessions of this process, as if another one resumed the training."""
    monkeypatch.setattr(sessions, "_latest", 0)


def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identify sessions by the clock alone, for negative controls."""

    def by_the_clock(folders: object) -> str:
        return f"{sessions.time.time_ns():016x}"

    for module in (sessions, shared_fit, writer):
        monkeypatch.setattr(module, "new_session", by_the_clock)


def listed(root: Path) -> tuple[list[int], int]:
    """Return the steps of the snapshots that the tab lists, and the number of those superseded."""
    with LogDirectory(root).serve("python") as client:
        content = client.get("/data/plugin/leaf/snapshots").json
    assert content is not None
    runs = content["runs"]
    steps = [snapshot["step"] for run in runs for snapshot in run["snapshots"]]
    return steps, sum(run["superseded"] for run in runs)
