"""Errors of snapshots."""

from __future__ import annotations


class SnapshotError(ValueError):
    """Error for a snapshot or path that cannot be built, written or read.

    The cause is a wrong type or shape, a size beyond the limits, damage, or a newer schema version.
    The message names the field.

    Example:
        >>> from tensorboard_plugin_leaf import SnapshotError, decode
        >>> try:
        ...     decode(b"no index", [])
        ... except SnapshotError as error:
        ...     print("The bytes are not a snapshot.")
        The bytes are not a snapshot.
    """


class NewerSchemaError(SnapshotError):
    """Error for a snapshot that a newer version of LEAF wrote."""
