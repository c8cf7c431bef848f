"""Checks of arguments that several rooms share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from lightning_leaf.errors import LeafError, shown

T = TypeVar("T")


def whole_number(value: Any, name: str, *, at_least: int = 1, at_most: int | None = None) -> int:
    """Return ``value`` if it is a whole number within its range.

    Args:
        value: The argument as the user passed it.
        name: Its name, for the message.
        at_least: The smallest value allowed.
        at_most: The largest value allowed; None for no upper limit.

    Raises:
        LeafError: If it is not an ``int`` (``bool`` does not count) or out of its range.

    Example:
        >>> whole_number(3, "pairs")
        3
        >>> whole_number(0, "pairs")
        Traceback (most recent call last):
        lightning_leaf.errors.LeafError: pairs expects a whole number of at least 1; got 0.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < at_least or (at_most is not None and value > at_most):
        allowed = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise LeafError(f"{name} expects a whole number {allowed}; got {shown(value)}.")
    return int(value)


def positive_number(value: Any, name: str) -> float:
    """Return ``value`` if it is a positive number; infinity is one.

    Args:
        value: The argument as the user passed it.
        name: Its name, for the message.

    Raises:
        LeafError: If it is not.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not value > 0:
        raise LeafError(f"{name} expects a positive number; got {shown(value)}.")
    return float(value)


def listed(values: Iterable[T], name: str, at_most: int) -> list[T]:
    """Return the values of a sequence, of which the user's own classes may have no end.

    Args:
        values: The argument as the user passed it.
        name: Its name, for the message.
        at_most: The largest number of values allowed.

    Raises:
        LeafError: If there are more.

    Example:
        >>> listed(("cat", "dog"), "class_names", 10)
        ['cat', 'dog']
    """
    first = list(islice(values, at_most + 1))
    if len(first) > at_most:
        raise LeafError(f"{name} expects at most {at_most} values; got more.")
    return first


def one_of(value: Any, choices: Sequence[str], name: str) -> str:
    """Return ``value`` if it is one of some strings.

    Args:
        value: The argument as the user passed it.
        choices: The strings allowed.
        name: Its name, for the message.

    Raises:
        LeafError: If it is not.
    """
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise LeafError(f"{name} expects one of {allowed}; got {shown(value)}.")
    return value
