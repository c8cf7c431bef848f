"""Run all steps that undo changes, also after an error in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lightning_leaf.model.memory import empty_cache

Step = Callable[[], object]


def run_all(steps: Iterable[Step]) -> None:
    """Call all steps, those with an error once more at the end.

    Raises:
        Exception: The first error of the second calls.
        BaseException: The first that is not an Exception, such as KeyboardInterrupt.
    """
    failed, errors = _run(steps)
    interruptions = [error for error in errors if not isinstance(error, Exception)]
    if failed:
        empty_cache()
        _, errors = _run(failed)
    for error in (*interruptions, *errors):
        raise error


def _run(steps: Iterable[Step]) -> tuple[list[Step], list[BaseException]]:
    """Return the steps that failed, and their errors."""
    failed, errors = [], []
    for step in steps:
        try:
            step()
        # Ctrl-C must not leave a training half restored.
        except BaseException as error:  # noqa: PERF203
            failed.append(step)
            errors.append(error)
    return failed, errors
