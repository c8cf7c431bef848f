"""The scalar tags of ``LocalDataMatrixMonitor``."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Matched against the part of a tag after its last slash. Matching is linear.
_MONITORED = re.compile(r"trace_mean|trace_median|trace_ratio|tangent_dimension|effective_rank_\w+")
# With many classes the trace is estimated and the tangent dimension is unknown.
_SIGNATURES = (("trace_mean", "tangent_dimension"), ("trace_mean", "trace_standard_error"))


def monitor_tags(tags: Iterable[str]) -> list[str]:
    """Return the sorted tags that a monitor of LEAF wrote.

    A monitor writes all its scalars with one prefix. A prefix belongs to a monitor if it has the
    tags ``<prefix>/trace_mean`` and one of ``<prefix>/tangent_dimension`` and
    ``<prefix>/trace_standard_error``.

    Example:
        >>> from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags
        >>> monitor_tags(["loss", "leaf/trace_mean", "leaf/tangent_dimension", "a/trace_mean"])
        ['leaf/tangent_dimension', 'leaf/trace_mean']
    """
    names: dict[str, set[str]] = {}
    for tag in tags:
        prefix, _, name = tag.rpartition("/")
        if prefix:
            names.setdefault(prefix, set()).add(name)
    return sorted(
        f"{prefix}/{name}"
        for prefix, found in names.items()
        if any(found.issuperset(signature) for signature in _SIGNATURES)
        for name in found
        if _MONITORED.fullmatch(name)
    )
