"""What a person is told of a snapshot or path that cannot be read."""

from __future__ import annotations

from tensorboard_plugin_leaf.snapshot import NewerSchemaError, SnapshotError


def damage_text(error: SnapshotError) -> str:
    """What is wrong, that nothing else is, and what to do; the error itself as a detail."""
    if isinstance(error, NewerSchemaError):
        return str(error)
    return (
        "It is damaged, or was not written by LEAF; no other is affected. If the logs were copied "
        "here, copy them again; otherwise it cannot be recovered. "
        f"(Detail: {str(error).rstrip('.')}.)"
    )
