"""A path step as one CUDA graph: launching its kernels one by one takes longer than they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from lightning_leaf.paths.goal import Goal

Compute = Callable[[Goal, Tensor], tuple[Tensor, Tensor]]
"""Return the results and the next points of a step: (n, ...) -> (n, C + 4), (n, ...)."""


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
        own = goal.select(torch.arange(len(x), device=x.device))  # a copy
        self._tensors = own.tensors
        self._x = x.clone()
        outputs: list[tuple[Tensor, Tensor]] = []
        self._replay = record(lambda: outputs.append(compute(own, self._x)), x.device)
        ((self._results, self._following),) = outputs

    def fits(self, paths: int) -> bool:
        """Return whether this number of paths can be computed without much waste."""
        return len(self._x) // 2 < paths <= len(self._x)

    def arrange(self, goal: Goal) -> None:
        """Take the paths of another goal."""
        for own, other in zip(self._tensors, goal.tensors, strict=True):
            own[: len(other)].copy_(other)

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
        found = step(x)
        same = (_same(a, b) for a, b in zip(found, expected, strict=True))
        return step if all(same) else None
    except Exception:  # from PyTorch, CUDA or the model, which run as before without a graph
        return None


def record(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record the kernels of some work, without running them, and return a function that does.

    Other threads of a training may use the device meanwhile. ``torch.cuda.graph`` would also
    collect garbage and empty the allocator's cache, which slows a training.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            work()
        except BaseException:
            with suppress(RuntimeError):  # that the recording is not valid
                graph.capture_end()
            raise
        graph.capture_end()
    torch.cuda.current_stream(device).wait_stream(stream)
    replay: Callable[[], None] = graph.replay
    return replay


def _same(a: Tensor, b: Tensor) -> bool:
    """Return whether all digits are the same. NaN is the same as NaN."""
    return bool(((a == b) | (a.isnan() & b.isnan())).all())
