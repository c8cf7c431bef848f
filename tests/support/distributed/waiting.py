"""A process that waits for another one, with the timeout of the LEAF callbacks."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy

from lightning_leaf.trainer import processes
from tests.support.pair import HANG_GUARD_S


def wait_for(file: Path) -> None:
    give_up_at = time.monotonic() + HANG_GUARD_S / 2
    while not file.exists():
        assert time.monotonic() < give_up_at, f"{file.name} does not exist"
        time.sleep(0.05)


def late_process(folder: Path) -> list[int]:
    """Gather results after rank one has worked for longer than rank zero."""
    rank, together = connected()

    def work() -> int:
        if rank == 0:
            (folder / "rank zero has finished").touch()
        else:
            wait_for(folder / "rank zero has finished")
        return rank

    return together.all_gather(work)


def timed_out_process(folder: Path) -> str:
    """Gather results while rank one works until rank zero has timed out; return the error."""
    with patch.object(processes, "TIMEOUT", timedelta(seconds=1)):
        rank, together = connected()

    def work() -> int:
        if rank == 1:
            wait_for(folder / "rank zero has timed out")
        return rank

    try:
        together.all_gather(work)
    except RuntimeError as error:
        (folder / "rank zero has timed out").touch()
        return str(error)
    return "no error"


def connected() -> tuple[int, processes.Processes]:
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=2)
    trainer: Any = SimpleNamespace(world_size=2, global_rank=rank, strategy=DDPStrategy())
    return rank, processes.Processes(trainer)
