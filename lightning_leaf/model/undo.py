"""Run all steps that undo changes, also after an error in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Step = Callable[[], object]


def run_all(steps: Iterable[Step]) -> None:
    """Call all steps, and raise the first error at the end."""
    errors = []
    for step in steps:
        try:
            step()
        # Ctrl-C must not leave a training half restored.
        except BaseException as error:  # noqa: PERF203
            errors.append(error)
    if errors:
        raise errors[0]
