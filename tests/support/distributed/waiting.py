"""A process that waits for another, longer than connecting may take."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy

from lightning_leaf.trainer import processes

CONNECTING_S, LATE_S = 1, 3


def waited(patience: timedelta) -> list[int] | str:
    """What both processes' work returned, where that of rank one takes its time."""
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=2)
    trainer: Any = SimpleNamespace(world_size=2, global_rank=rank, strategy=DDPStrategy())
    impatient = partial(dist.new_group, timeout=timedelta(seconds=CONNECTING_S))

    def late() -> int:
        time.sleep(LATE_S * rank)
        return rank

    with patch.object(dist, "new_group", impatient), patch.object(processes, "TIMEOUT", patience):
        together = processes.Processes(trainer)
    try:
        return together.all_gather(late)
    except RuntimeError as error:
        return str(error)
