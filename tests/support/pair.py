"""Two processes that train together on the CPU, connected by gloo as in Lightning."""

from __future__ import annotations

import os
import socket
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

HANG_GUARD_S = 900
"""Timeout of a function: processes that wait for each other would not return."""


class Pair:
    """Two processes that are started once and run many functions."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._workers, self._pipes = [], []
        for rank in range(2):
            pipe, worker_pipe = context.Pipe()
            worker = context.Process(target=_serve, args=(rank, worker_pipe), daemon=True)
            worker.start()
            self._workers.append(worker)
            self._pipes.append(pipe)

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Run a function of an importable module in both processes; return both results.

        Raises:
            AssertionError: If the function raised an error in one process, or hangs.
        """
        port = _free_port()
        for pipe in self._pipes:
            pipe.send((port, function, arguments))
        answers = []
        for rank, pipe in enumerate(self._pipes):
            assert pipe.poll(HANG_GUARD_S), f"rank {rank} did not return within {HANG_GUARD_S} s"
            answers.append(pipe.recv())
        for rank, (failed, answer) in enumerate(answers):
            assert not failed, f"rank {rank} raised:\n{answer}"
        return [answer for _, answer in answers]

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.join()


def _serve(rank: int, pipe: Connection) -> None:
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        WORLD_SIZE="2",
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        NODE_RANK="0",
        OMP_NUM_THREADS="1",
    )
    warnings.simplefilter("ignore")
    import torch.distributed as dist

    while True:
        port, function, arguments = pipe.recv()
        os.environ["MASTER_PORT"] = str(port)
        try:
            pipe.send((False, function(*arguments)))
        except BaseException:
            pipe.send((True, traceback.format_exc()))
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
