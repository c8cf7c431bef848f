"""Interrupt or end long work on request, without passing a flag through every function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lightning_leaf.errors import Interrupted

_requested: ContextVar[Callable[[], bool] | None] = ContextVar("requested", default=None)
_end_requested: ContextVar[Callable[[], bool] | None] = ContextVar("end_requested", default=None)


@contextmanager
def interrupted_when(requested: Callable[[], bool]) -> Iterator[None]:
    """Interrupt paths and measurements inside this context once ``requested()`` is true.

    Args:
        requested: Called between chunks of inputs and between path steps.
    """
    token = _requested.set(requested)
    try:
        yield
    finally:
        _requested.reset(token)


def raise_if_interrupted() -> None:
    """Raise an error if an interruption was requested. Call it between parts of long work.

    Raises:
        Interrupted: If the condition of :func:`interrupted_when` is true.
    """
    requested = _requested.get()
    if requested is not None and requested():
        raise Interrupted("The work was interrupted on request.")


@contextmanager
def ended_when(requested: Callable[[], bool]) -> Iterator[None]:
    """End the paths inside this context once ``requested()`` is true, and keep their steps so far.

    Unlike :func:`interrupted_when` it raises no error: paths end with the status ``out_of_time``.
    Inside several of these contexts, paths end when one of the conditions is true.

    Args:
        requested: Called before every path step.

    Example:
        >>> import torch
        >>> from lightning_leaf import orthogonal_walk
        >>> conditions = iter([False, False, True])
        >>> with ended_when(lambda: next(conditions)):
        ...     walk = orthogonal_walk(torch.nn.Linear(4, 3), torch.ones(1, 4), progress=False)
        >>> walk[0].describe()
        'out of time after 2 steps, 0.01 from the start'
    """
    outer = _end_requested.get()
    token = _end_requested.set(lambda: requested() or (outer is not None and outer()))
    try:
        yield
    finally:
        _end_requested.reset(token)


@contextmanager
def ended_after(seconds: float | None) -> Iterator[None]:
    """End the paths inside this context after some seconds, see :func:`ended_when`.

    Args:
        seconds: Time from now, in seconds; None for no limit.
    """
    if seconds is None:
        yield
        return
    end = time.monotonic() + seconds
    with ended_when(lambda: time.monotonic() >= end):
        yield


def end_requested() -> bool:
    """Return whether a condition of :func:`ended_when` is true."""
    requested = _end_requested.get()
    return requested is not None and requested()
