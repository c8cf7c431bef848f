"""Treat a call of ``sys.exit`` during a measurement as an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb, walk_tb
from types import FrameType, TracebackType

from lightning_leaf.errors import LeafError


@contextmanager
def exits_as_errors() -> Iterator[None]:
    """Raise LeafError where the code inside raises SystemExit, which would end the training.

    A handler of a signal, such as SIGTERM, may still end the process.

    Raises:
        LeafError: If the code inside raises SystemExit.
    """
    try:
        yield
    except SystemExit as error:
        if _is_in_signal_handler(error.__traceback__):
            raise
        place = extract_tb(error.__traceback__)[-1]
        raise LeafError(
            "A measurement expects the model and its data to return or to raise an exception; "
            f"{place.name} ({place.filename}:{place.lineno}) raised SystemExit({error.code!r}). "
            "Raise another exception there, such as RuntimeError."
        ) from error


def _is_in_signal_handler(traceback: TracebackType | None) -> bool:
    """Return whether a function of the traceback has an interrupted frame as its argument."""
    for frame, _ in walk_tb(traceback):
        for value in frame.f_locals.values():
            values = value if type(value) is tuple else (value,)
            if any(isinstance(each, FrameType) for each in values):
                return True
    return False
