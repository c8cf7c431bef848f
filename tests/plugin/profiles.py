"""How many examples of a property are tried: few, unless `LEAF_EXAMPLES` names a factor."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

FACTOR: Final = int(os.environ.get("LEAF_EXAMPLES", "1"))


def examples(count: int) -> settings:
    """Try `count` examples, `LEAF_EXAMPLES` times as many, and new ones where it is set."""
    return settings(
        deadline=None,
        max_examples=FACTOR * count,
        derandomize=FACTOR == 1,
        suppress_health_check=list(HealthCheck),
    )
