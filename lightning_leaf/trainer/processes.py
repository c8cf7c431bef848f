"""What the processes of a distributed training do together: share work, agree, fail as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lightning_leaf.errors import Interrupted, LeafError
from lightning_leaf.model.classifier import find_scores
from lightning_leaf.trainer.strategies import shards_module

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""For a process whose walks take longer. A training's own group gives up after minutes."""


class Processes:
    """All processes of a training; each of its methods must be called by all of them in turn.

    An error in one process is raised in all, so that none waits for another that has given up.
    Results travel through a process group of its own on the CPU, with a patience of its own.

    Args:
        trainer: Whose processes.

    Attributes:
        module_is_shared: Whether a forward pass takes every process, because each holds but a part
            of the module.

    Raises:
        LeafError: If they are not connected, or do not reach each other.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._count = trainer.world_size
        self._rank = trainer.global_rank
        self.module_is_shared = shards_module(trainer)
        self._group: Any = None
        if self._count > 1:
            if not (dist.is_available() and dist.is_initialized()):
                raise LeafError(
                    "The LEAF callbacks expect the processes of a training to be connected by "
                    f"torch.distributed; with {type(trainer.strategy).__name__} they are not. Use "
                    "strategy='ddp' or a single device, or leave the callbacks out."
                )
            self._group = _connect()

    def close(self) -> None:
        """Give the process group back."""
        if self._group is not None and dist.is_initialized():
            dist.destroy_process_group(self._group)
        self._group = None

    def share(self, count: int) -> list[int]:
        """Which of so many equal pieces of work are this process's.

        All of them where a forward pass takes every process, because each holds but a part of the
        module.
        """
        if self.module_is_shared:
            return list(range(count))
        return list(range(self._rank, count, self._count))

    def merge(self, shares: list[list[T]]) -> list[T]:
        """The results of all pieces in their order, given those of every process."""
        if self.module_is_shared:
            return shares[0]
        count = sum(map(len, shares))
        return [shares[piece % self._count][piece // self._count] for piece in range(count)]

    def everywhere(self, work: Callable[[], T]) -> list[T]:
        """What each process's work returned, on every process."""
        if self._group is None:
            return [work()]
        outcome, error = _attempt(work)
        outcomes: list[Any] = [None] * self._count
        dist.all_gather_object(outcomes, outcome, self._group)
        _raise_first(outcomes, error)
        return [each.result for each in outcomes]

    def at_zero(self, work: Callable[[], T]) -> list[T] | None:
        """What each process's work returned, on rank zero alone: for results that are large."""
        result: list[T] = []
        # An error must reach everybody before anybody sends a result.
        self.everywhere(lambda: result.append(work()))
        if self._group is None:
            return result
        results: list[Any] | None = [None] * self._count if self._rank == 0 else None
        dist.gather_object(result[0], results, dst=0, group=self._group)
        return results

    def like_zero(self, work: Callable[[], T]) -> T:
        """All processes do the work, and go on with what it returned on rank zero."""
        result: list[T] = []
        self.everywhere(lambda: result.append(work()))
        if self._group is not None:
            dist.broadcast_object_list(result, src=0, group=self._group)
        return result[0]

    def on_zero(self, work: Callable[[], T]) -> T:
        """Rank zero alone does the work; what it returned, on every process."""
        if self._group is None:
            return work()
        outcome, error = _attempt(work) if self._rank == 0 else (_Outcome(None), None)
        outcomes = [outcome]
        dist.broadcast_object_list(outcomes, src=0, group=self._group)
        _raise_first(outcomes, error)
        return outcomes[0].result  # type: ignore[no-any-return]

    @contextmanager
    def same_module(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module as rank zero has it: to be called inside ``quiet``, which undoes it.

        Buffers differ between processes: each one's batch-norm has seen its own inputs. Where all
        processes evaluate a shared module together, each must also take the same decisions, so all
        go on with the scores and gradients of rank zero, to the last bit.
        """
        if self._group is not None:
            named = dict(module.named_buffers())
            values = self.on_zero(lambda: {name: b.detach().cpu() for name, b in named.items()})
            if self._rank != 0:
                for name, value in values.items():
                    if not torch.equal(named[name].cpu(), value):
                        with torch.no_grad():
                            named[name].copy_(value)
        yield _LikeZero(module) if self._count > 1 and self.module_is_shared else module

    def wants(self, flag: Callable[[], bool]) -> Callable[[], bool]:
        """A question that each process may ask at any moment of its own share of the work."""
        # Processes that evaluate a shared module together must give it up together.
        return (lambda: self.on_zero(flag)) if self.module_is_shared else flag


def _connect() -> Any:
    try:
        group: Any = dist.new_group(backend="gloo")
    except RuntimeError as error:
        raise LeafError(
            "The LEAF callbacks expect the processes of a training to reach each other through "
            f"gloo, on the CPU; they did not: {error} Where a machine has several networks, "
            "GLOO_SOCKET_IFNAME names the one to use."
        ) from error
    # Only now: connecting should not take that long.
    if hasattr(dist, "set_timeout"):
        dist.set_timeout(PATIENCE, group)
    else:  # its name in older versions
        dist.distributed_c10d._set_pg_timeout(PATIENCE, group)
    return group


@dataclass(frozen=True)
class _Outcome:
    result: Any
    failure: str | None = None
    interrupted: bool = False


def _attempt(work: Callable[[], T]) -> tuple[_Outcome, Exception | None]:
    try:
        return _Outcome(work()), None
    except Exception as error:
        interrupted = isinstance(error, Interrupted)
        return _Outcome(None, f"{type(error).__name__}: {error}", interrupted), error


def _raise_first(outcomes: list[_Outcome], own: Exception | None) -> None:
    if own is not None:
        raise own
    for rank, outcome in enumerate(outcomes):
        if outcome.failure is not None:
            kind = Interrupted if outcome.interrupted else LeafError
            raise kind(f"On rank {rank}: {outcome.failure}")


class _LikeZero(nn.Module):
    """A module whose outputs and gradients with respect to inputs are those of rank zero."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return _ValueOfZero.apply(find_scores(self.module(_GradientOfZero.apply(x))))  # type: ignore[no-any-return]


class _ValueOfZero(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        scores = scores.contiguous().clone()
        dist.broadcast(scores, src=0)
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        if torch._C._functorch.is_batchedtensor(gradients[0]):
            # Before any hook of a sharded module hears of it.
            raise RuntimeError("Processes that share a module take one backward pass at a time.")
        return gradients[0]


class _GradientOfZero(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.broadcast(gradient, src=0)
        return gradient
