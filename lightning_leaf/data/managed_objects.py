"""Objects of ``multiprocessing.Manager``, which all processes share through a server."""

from __future__ import annotations

from collections.abc import Mapping
from multiprocessing import managers
from typing import Any


def use_own_copies() -> None:
    """Replace the managed objects of this process by copies of their current values.

    A process that reads examples would otherwise write into the objects that the training uses.
    The copies are made at their first use, in this process alone.
    """
    proxies: Any = managers.BaseProxy
    remote = proxies._callmethod
    copies: dict[Any, Any] = {}

    def call(
        proxy: Any, name: str, args: tuple[Any, ...] = (), kwds: Mapping[str, Any] | None = None
    ) -> Any:
        key = proxy._token.address, proxy._token.id
        if key not in copies:
            copies[key] = remote(proxy, "#GETVALUE")
        if name == "#GETVALUE":
            return copies[key]
        return getattr(copies[key], name)(*args, **(kwds or {}))

    proxies._callmethod = call


def is_managed(part: Any) -> bool:
    """Return whether an object refers to one that other processes share."""
    return isinstance(part, managers.BaseProxy)
