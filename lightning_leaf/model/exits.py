"""Treat ``sys.exit`` and other exits during a measurement as errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_leaf.errors import LeafError, is_meant_for_others, place_of, shown, type_name


@contextmanager
def exits_as_errors() -> Iterator[None]:
    """Raise LeafError where the code inside raises SystemExit, which would end the training.

    So do other exceptions that are not subclasses of ``Exception``. KeyboardInterrupt still ends
    the training, and so does a handler of a signal, such as SIGTERM, or another thread, see
    :func:`~lightning_leaf.errors.is_meant_for_others`.

    Raises:
        LeafError: If the code inside raises such an exception.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if is_meant_for_others(error):
            raise
        place, function = place_of(error)
        code = shown(error.code) if type(error) is SystemExit else ""
        raise LeafError(
            "A measurement expects the model and its data to return or to raise an Exception; "
            f"{function} ({place}) raised {type_name(error)}({code}). "
            "Raise another exception there, such as RuntimeError."
        ) from error
