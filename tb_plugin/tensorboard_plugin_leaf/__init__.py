"""The LEAF tab of TensorBoard: paths on the data leaves of a neural network classifier.

To write, build a :class:`Snapshot` of :class:`PathRecord` objects and pass it to :func:`write`. To
convert a snapshot to bytes and back, use :func:`encode` and :func:`decode`.

The modules are in four folders. Each folder imports only from those to the left of it::

    schema ◄ codec ◄ store ◄ routes

- ``schema``: the types of snapshots and paths, and the checks of their fields.
- ``codec``: snapshots as bytes and as summaries in event files.
- ``store``: the snapshots and scalars of a log directory.
- ``routes``: the HTTP routes of the tab.

TensorBoard finds the tab by the entry point in ``loader``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboard_plugin_leaf.codec.snapshot_codec import decode, encode
    from tensorboard_plugin_leaf.codec.summary import summary_of, tag_of, write
    from tensorboard_plugin_leaf.schema.errors import SnapshotError
    from tensorboard_plugin_leaf.schema.path import PathRecord
    from tensorboard_plugin_leaf.schema.snapshot import Snapshot

    __version__: str

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

_MODULES = {
    "__version__": "_version",
    "PathRecord": "schema.path",
    "Snapshot": "schema.snapshot",
    "SnapshotError": "schema.errors",
    "decode": "codec.snapshot_codec",
    "encode": "codec.snapshot_codec",
    "summary_of": "codec.summary",
    "tag_of": "codec.summary",
    "write": "codec.summary",
}


def __getattr__(name: str) -> Any:
    # TensorBoard imports this package when it starts, and an import error would stop it. The
    # modules are therefore imported at their first use.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
