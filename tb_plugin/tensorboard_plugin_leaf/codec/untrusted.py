"""One type of error for bytes from an untrusted source."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from tensorboard_plugin_leaf.schema.errors import SnapshotError

_P = ParamSpec("_P")
_T = TypeVar("_T")


def raises_only_snapshot_errors(decode: Callable[_P, _T]) -> Callable[_P, _T]:
    """Convert every exception of a decoding function to :class:`SnapshotError`."""

    @wraps(decode)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return decode(*args, **kwargs)
        except SnapshotError:
            raise
        # zipfile, zlib, json, numpy and Pillow read these bytes. Their errors have no common base
        # class and differ between versions.
        except Exception as error:
            raise SnapshotError(f"expected bytes that LEAF wrote, got {error!r:.200}.") from error

    return guarded
