"""The name, step and session of a snapshot, read from its tag."""

from __future__ import annotations

import re
from typing import NamedTuple

# As `tag_of` writes it. No part can match in two ways, so that matching is linear.
_TAG = re.compile(r"([A-Za-z0-9_.-]+)/([0-9]{12})-([0-9a-f]{16})")


class SnapshotTag(NamedTuple):
    """The parts of the tag of a snapshot.

    Attributes:
        text: The whole tag.
        name: Name of the callback.
        step: Optimizer step.
        session: Identifier of the session.
    """

    text: str
    name: str
    step: int
    session: str


def parse_tag(text: str) -> SnapshotTag | None:
    """Return the parts of a tag, ``None`` if :func:`~tensorboard_plugin_leaf.tag_of` made another.

    Example:
        >>> from tensorboard_plugin_leaf.store.snapshot_tag import parse_tag
        >>> parse_tag("horizontal_path/000000000500-17979cfe362a0000").step
        500
        >>> parse_tag("train/loss") is None
        True
    """
    match = _TAG.fullmatch(text)
    if match is None:
        return None
    name, step, session = match.groups()
    return SnapshotTag(text, name, int(step), session)
