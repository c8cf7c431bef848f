"""Treat ``sys.exit`` and other exits during a measurement as errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType, TracebackType

from lightning_leaf.errors import LeafError, place_of, shown, traceback_of, type_name


@contextmanager
def exits_as_errors() -> Iterator[None]:
    """Raise LeafError where the code inside raises SystemExit, which would end the training.

    So do other exceptions that are not subclasses of ``Exception``. KeyboardInterrupt still ends
    the training, and so does a handler of a signal, such as SIGTERM.

    Raises:
        LeafError: If the code inside raises such an exception.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if _is_in_signal_handler(traceback_of(error)):
            raise
        place, function = place_of(error)
        code = shown(error.code) if type(error) is SystemExit else ""
        raise LeafError(
            "A measurement expects the model and its data to return or to raise an Exception; "
            f"{function} ({place}) raised {type_name(error)}({code}). "
            "Raise another exception there, such as RuntimeError."
        ) from error


def _is_in_signal_handler(traceback: TracebackType | None) -> bool:
    """Return whether a function of the traceback has an interrupted frame as its argument."""
    for frame, _ in walk_tb(traceback):
        for value in frame.f_locals.values():
            values = value if type(value) is tuple else (value,)
            if any(type(each) is FrameType for each in values):
                return True
    return False
