"""A path step as one CUDA graph: launching its kernels one by one takes longer than they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.paths.goal import Goal, select

Compute = Callable[[Goal, Tensor], tuple[Tensor, Tensor]]
"""Return the results and the next points of a step: (n, ...) -> (n, C + 6), (n, ...)."""


class CapturedStep:
    """A step whose kernels were recorded once, and are launched together.

    It also computes smaller batches, of at least half the size, by ignoring rows. A graph reads and
    writes the same memory each time, so points and goals are copied into it.

    Args:
        compute: Computes a step; it must not wait for the device.
        goal: The goal of n paths.
        x: Their points, ``(n, ...)``.

    Raises:
        RuntimeError: If the step cannot be recorded, for example because the model waits for the
            device.
    """

    def __init__(self, compute: Compute, goal: Goal, x: Tensor) -> None:
        self._goal = own = select(goal, slice(None))
        self._x = x.clone()
        outputs: list[tuple[Tensor, Tensor]] = []
        self._replay = record(lambda: outputs.append(compute(own, self._x)), x.device)
        self._results, self._following = outputs[-1]  # of the recording

    def fits(self, paths: int) -> bool:
        """Return whether this number of paths can be computed without much waste."""
        return len(self._x) // 2 < paths <= len(self._x)

    def arrange(self, goal: Goal) -> None:
        """Take the paths and the state of another goal."""
        for own, other in zip(self._goal.tensors, goal.tensors, strict=True):
            own[: len(other)].copy_(other)

    def goal(self, paths: int) -> Goal:
        """Return a copy of the goal of the first paths, with its present state."""
        return select(self._goal, slice(paths))

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the results and the next points of a step."""
        count = len(x)
        self._x[:count].copy_(x)
        self._replay()
        return self._results[:count].clone(), self._following[:count].clone()


def captured(
    compute: Compute, goal: Goal, x: Tensor, expected: tuple[Tensor, Tensor]
) -> CapturedStep | None:
    """Return the captured step, or None if it cannot be captured or computes anything else.

    Args:
        compute: See :class:`CapturedStep`.
        goal: See :class:`CapturedStep`.
        x: See :class:`CapturedStep`.
        expected: What the step computes at x, which the captured one must repeat digit by digit.
    """
    try:
        step = CapturedStep(compute, goal, x)
        step.arrange(goal)  # recording the step has changed the state
        found = step(x)
        same = (_same(a, b) for a, b in zip(found, expected, strict=True))
        return step if all(same) else None
    except Exception:  # from PyTorch, CUDA or the model, which run as before without a graph
        return None


def record(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record the kernels of some work, without running them, and return a function that does.

    The work runs once before, and raises an error where it waits for the device: a recording that
    fails would leave the allocator in a state of its own. Other threads of a training may use the
    device meanwhile. ``torch.cuda.graph`` would also collect garbage and empty the allocator's
    cache, which slows a training.

    Raises:
        RuntimeError: If the work cannot be recorded.
    """
    with _waiting_is_an_error():
        work()
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    stream = _capture_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            work()
            graph.capture_end()
        except BaseException:
            _abandon(graph, pool, stream)
            raise
    torch.cuda.current_stream(device).wait_stream(stream)
    replay: Callable[[], None] = graph.replay
    return replay


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream for all recordings: libraries keep memory for each stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


_ABANDONED: list[torch.cuda.CUDAGraph] = []
"""Graphs whose recording failed: the allocator may refer to them."""


def _abandon(graph: torch.cuda.CUDAGraph, pool: Any, stream: torch.cuda.Stream) -> None:
    """End a recording that failed, and tell the allocator that it has ended."""
    _ABANDONED.append(graph)
    with suppress(RuntimeError):  # that the recording is not valid
        graph.capture_end()
        return
    with suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(stream.device_index, pool)
        torch._C._cuda_releasePool(stream.device_index, pool)


def _same(a: Tensor, b: Tensor) -> bool:
    """Return whether all digits are the same. NaN is the same as NaN."""
    return bool(((a == b) | (a.isnan() & b.isnan())).all())
