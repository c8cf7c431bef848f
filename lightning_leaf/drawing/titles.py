"""What a path is called, and how it ended, in the titles of pictures and in reports."""

from __future__ import annotations

import math

from tensorboard_plugin_leaf import PathRecord

STATUS_WORDS = {
    "reached": "reached",
    "blocked": "blocked",
    "stalled": "stalled",
    "out_of_steps": "out of steps",
    "out_of_time": "out of time",
    "non_finite": "non-finite",
}
"""Words for the status of a path."""


def pair_name(record: PathRecord) -> str:
    """Return the ends of a path, such as ``"8 → 3"``; the source of a walk."""
    return f"{record.source} → {record.destination}" if record.destination else record.source


def outcome(record: PathRecord) -> str:
    """Return how a path ended, such as ``"reached"`` or ``"blocked (domain)"``."""
    words = STATUS_WORDS[record.status]
    return f"{words} ({record.blocked_by})" if record.blocked_by else words


def judgement(record: PathRecord) -> str:
    """Return what another network predicts for the last point; empty without one."""
    if not record.judged:
        return ""
    p = record.judged_probability
    sure = "" if math.isnan(p) else f" ({p:.2f})"
    return f"another network predicts {record.judged}{sure}"
