"""LEAF in TensorBoard: paths on the data leaves of a neural network classifier.

Writing: build a `Snapshot` of `PathRecord`s and `write` it. Reading: `encode` and `decode`.
TensorBoard finds the tab itself by `tensorboard_plugin_leaf.loader`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboard_plugin_leaf.encoding import decode, encode
    from tensorboard_plugin_leaf.snapshot import PathRecord, Snapshot, SnapshotError
    from tensorboard_plugin_leaf.summary import summary_of, tag_of, write

__all__ = [
    "PathRecord",
    "Snapshot",
    "SnapshotError",
    "decode",
    "encode",
    "summary_of",
    "tag_of",
    "write",
]

_HOMES = {
    "PathRecord": "snapshot",
    "Snapshot": "snapshot",
    "SnapshotError": "snapshot",
    "decode": "encoding",
    "encode": "encoding",
    "summary_of": "summary",
    "tag_of": "summary",
    "write": "summary",
}


def __getattr__(name: str) -> Any:
    # TensorBoard imports this package at start-up, when an import error would end it: the
    # modules are imported when they are first used.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
