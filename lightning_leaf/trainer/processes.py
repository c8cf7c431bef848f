"""Collective operations over the processes of a distributed training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from lightning_leaf.errors import Interrupted, LeafError, message_of, type_name
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.exits import exits_as_errors
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.quiet import quiet
from lightning_leaf.model.unbuilt import ModelIsUnbuilt
from lightning_leaf.trainer.rank_zero_module import RankZeroModule
from lightning_leaf.trainer.strategies import shards_module

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

T = TypeVar("T")

TIMEOUT = timedelta(days=1)
"""How long a process waits for the paths of another. The process group of the training times out
after 30 minutes."""


class Processes:
    """All processes of a training. All processes must call each method, in the same order.

    An error in one process is raised in all processes, so that no process waits for another that
    has failed. Results are sent through a separate process group on the CPU, with its own timeout.

    Args:
        trainer: The trainer that started the processes.

    Attributes:
        module_is_sharded: Whether each process holds only a part of the module. All processes then
            take part in each forward pass.

    Raises:
        LeafError: If the processes are not connected, or cannot reach each other.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._count = trainer.world_size
        self._rank = trainer.global_rank
        self.module_is_sharded = shards_module(trainer)
        self._group: Any = None
        if self._count > 1:
            if not (dist.is_available() and dist.is_initialized()):
                raise LeafError(
                    "The LEAF callbacks expect the processes of a training to be connected by "
                    f"torch.distributed; {type(trainer.strategy).__name__} does not connect them. "
                    "Use strategy='ddp' or a single device, or remove the LEAF callbacks."
                )
            self._group = _connect()

    def close(self) -> None:
        """Destroy the process group."""
        if self._group is not None and dist.is_initialized():
            dist.destroy_process_group(self._group)
        self._group = None

    def share(self, count: int) -> list[int]:
        """Return which of ``count`` equal pieces of work this process does.

        A process does all of them if the module is sharded, because all processes then take part
        in each forward pass.
        """
        if self.module_is_sharded:
            return list(range(count))
        return list(range(self._rank, count, self._count))

    def merge(self, shares: list[list[T]]) -> list[T]:
        """Return the results of all pieces of work in order, given the results of each process."""
        if self.module_is_sharded:
            return shares[0]
        count = sum(map(len, shares))
        return [shares[piece % self._count][piece // self._count] for piece in range(count)]

    def all_gather(self, work: Callable[[], T]) -> list[T]:
        """Run the work on all processes; return the results of all on each process."""
        if self._group is None:
            return [work()]
        outcome, error = _attempt(work)
        outcomes: list[Any] = [None] * self._count
        dist.all_gather_object(outcomes, outcome, self._group)
        _raise_first(outcomes, error)
        return [each.result for each in outcomes]

    def gather(self, work: Callable[[], T]) -> list[T] | None:
        """Run the work on all processes; return the results of all on rank zero only."""
        result = self.run(work)
        if self._group is None:
            return [result]
        results: list[Any] | None = [None] * self._count if self._rank == 0 else None
        dist.gather_object(result, results, dst=0, group=self._group)
        return results

    def broadcast(self, work: Callable[[], T]) -> T:
        """Run the work on all processes; return the result of rank zero on each process."""
        results = [self.run(work)]
        if self._group is not None:
            dist.broadcast_object_list(results, src=0, group=self._group)
        return results[0]

    def run(self, work: Callable[[], T]) -> T:
        """Run the work on all processes; return the process's own result."""
        result: list[T] = []
        # Errors are exchanged here, before any process sends its result.
        self.all_gather(lambda: result.append(work()))
        return result[0]

    def on_rank_zero(self, work: Callable[[], T]) -> T:
        """Run the work on rank zero only; return its result on each process."""
        if self._group is None:
            return work()
        outcome, error = _attempt(work) if self._rank == 0 else (_Outcome(None), None)
        outcomes = [outcome]
        dist.broadcast_object_list(outcomes, src=0, group=self._group)
        _raise_first(outcomes, error)
        return outcomes[0].result  # type: ignore[no-any-return]

    @contextmanager
    def measuring(
        self,
        module: nn.Module,
        *,
        forward: Forward | None = None,
        likelihood: Likelihood | None = None,
        classes: int | None = None,
    ) -> Iterator[Classifier]:
        """Open the module for measuring, with the buffers of rank zero on each process.

        Buffers differ between processes: each process updates its batch-norm statistics from its
        own inputs. The buffers of the process are restored afterwards.

        If the module is sharded, all processes get the scores and gradients of rank zero, see
        :class:`~lightning_leaf.trainer.rank_zero_module.RankZeroModule`.

        Args:
            module: The module.
            forward: See :class:`~lightning_leaf.model.classifier.Classifier`.
            likelihood: See :class:`~lightning_leaf.model.classifier.Classifier`.
            classes: See :class:`~lightning_leaf.model.classifier.Classifier`.
        """

        def opened() -> Classifier:
            if self._count > 1 and self.module_is_sharded:
                shared = RankZeroModule(module, forward, classes)
                return Classifier(shared, likelihood=likelihood)
            return Classifier(module, forward=forward, likelihood=likelihood, classes=classes)

        with quiet(module):
            if self._group is not None:
                self._copy_buffers(module)
            classifier = self.run(opened)
            try:
                yield classifier
            finally:
                classifier.close()

    def _copy_buffers(self, module: nn.Module) -> None:
        buffers = dict(module.named_buffers())
        values = self.on_rank_zero(
            lambda: {name: buffer.detach().cpu() for name, buffer in buffers.items()}
        )
        if self._rank == 0:
            return
        for name, value in values.items():
            if not torch.equal(buffers[name].cpu(), value):
                with torch.no_grad():
                    buffers[name].copy_(value)

    def shared_flag(self, flag: Callable[[], bool]) -> Callable[[], bool]:
        """Return a flag that each process may read during its share of the work.

        Processes that evaluate a sharded module together must stop together, so all of them read
        the flag of rank zero.
        """
        return (lambda: self.on_rank_zero(flag)) if self.module_is_sharded else flag


def _connect() -> Any:
    try:
        group: Any = dist.new_group(backend="gloo")
    except RuntimeError as error:
        raise LeafError(
            "The LEAF callbacks expect the processes of a training to reach each other on the CPU "
            f"with the gloo backend; connecting failed ({message_of(error)}). On a machine with "
            "several networks, set the environment variable GLOO_SOCKET_IFNAME to the network "
            "interface to use."
        ) from error
    # Set the long timeout only now: connecting should not take that long.
    if hasattr(dist, "set_timeout"):
        dist.set_timeout(TIMEOUT, group)
    else:  # its name in older versions of torch
        dist.distributed_c10d._set_pg_timeout(TIMEOUT, group)
    return group


@dataclass(frozen=True)
class _Outcome:
    result: Any
    failure: str | None = None
    kind: type[LeafError] = LeafError


def _attempt(work: Callable[[], T]) -> tuple[_Outcome, Exception | None]:
    try:
        with exits_as_errors():
            return _Outcome(work()), None
    except Exception as error:
        kind = type(error)
        if not issubclass(kind, (Interrupted, ModelIsUnbuilt)):
            kind = LeafError
        return _Outcome(None, f"{type_name(error)}: {message_of(error)}", kind), error


def _raise_first(outcomes: list[_Outcome], own: Exception | None) -> None:
    if own is not None:
        raise own
    for rank, outcome in enumerate(outcomes):
        if outcome.failure is not None:
            raise outcome.kind(f"On rank {rank}: {outcome.failure}")
