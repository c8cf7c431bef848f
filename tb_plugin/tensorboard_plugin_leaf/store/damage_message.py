"""The message that the tab shows for a snapshot or path that cannot be read."""

from __future__ import annotations

from tensorboard_plugin_leaf.schema.errors import NewerSchemaError, SnapshotError


def damage_message(error: SnapshotError) -> str:
    """Return what is wrong and what to do, with ``error`` as a detail."""
    if isinstance(error, NewerSchemaError):
        return str(error)
    return (
        "It is damaged, or was not written by LEAF. Others are not affected. If you copied the "
        "logs, copy them again. Otherwise it cannot be recovered. "
        f"(Detail: {str(error).rstrip('.')}.)"
    )
