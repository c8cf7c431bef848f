"""Interrupt long work on request, without passing a flag through every function in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lightning_leaf.errors import Interrupted

_requested: ContextVar[Callable[[], bool] | None] = ContextVar("requested", default=None)


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
