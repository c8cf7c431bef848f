"""Several ways to run the forward pass of a model, of which the first that works is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakSet

from lightning_leaf.errors import Interrupted, message_of, of_signal_handler
from lightning_leaf.model.forward_pass import ForwardPass
from lightning_leaf.model.memory import is_out_of_memory
from lightning_leaf.model.unbuilt import ModelIsUnbuilt

T = TypeVar("T")

_KNOWN_AS_COARSE: WeakSet[Any] = WeakSet()

LOGGER = logging.getLogger("lightning_leaf")


def first_that_runs(
    ways: Sequence[ForwardPass], work: Callable[[ForwardPass], T]
) -> tuple[ForwardPass, T]:
    """Do some work in the first way in which the model runs.

    Args:
        ways: Forward passes to try, in this order.
        work: A function of a forward pass.

    Returns:
        The forward pass, and the result.

    Raises:
        Exception: The first error, if the model runs in none of these ways. Errors about tensors
            on several devices are raised only if there is no other.
    """
    first: Exception | None = None
    for run in ways:
        try:
            result = work(run)
        except Exception as error:
            if len(ways) == 1 or is_final(error):
                raise
            if first is None or (_is_about_devices(first) and not _is_about_devices(error)):
                first = error
            continue
        if run.precision.coarse and first is not None and run.model not in _KNOWN_AS_COARSE:
            _KNOWN_AS_COARSE.add(run.model)
            LOGGER.warning(
                "%s is measured in its own half precision, because it does not run in full "
                "precision (%s). Gradients have an error of about 1 %%.",
                type(run.model).__name__,
                in_one_line(first),
            )
        return run, result
    assert first is not None
    raise first


def is_final(error: Exception) -> bool:
    """Return whether another way to run the model would not help."""
    if is_out_of_memory(error) or issubclass(type(error), (Interrupted, ModelIsUnbuilt)):
        return True
    return of_signal_handler(error) is not None


def _is_about_devices(error: Exception) -> bool:
    return any(text in message_of(error) for text in ("device", "Input type"))


def in_one_line(error: Exception) -> str:
    """Return the line of an error's message that says most."""
    lines = message_of(error).strip().split("\n")
    return lines[-1] if "TorchScript" in lines[0] else lines[0]
