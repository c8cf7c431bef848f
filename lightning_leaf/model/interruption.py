"""Give up long work when asked to, without every function in between knowing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lightning_leaf.errors import Interrupted

_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


@contextmanager
def interrupted_when(wanted: Callable[[], bool]) -> Iterator[None]:
    """Inside, walks and measurements ask ``wanted`` now and then, and end once it says so."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def stop_if_wanted() -> None:
    """Asked between two pieces of long work.

    Raises:
        Interrupted: If somebody wants the work to end.
    """
    wanted = _wanted.get()
    if wanted is not None and wanted():
        raise Interrupted("The work was given up on request.")
