"""After an error of ours, the training loop continues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from lightning_leaf._arguments import one_of
from lightning_leaf.errors import of_signal_handler, type_name
from lightning_leaf.model.exits import exits_as_errors
from lightning_leaf.monitoring.messages import OnError, one_line, warn


class Guard:
    """Catches errors, and switches its owner off after the first one.

    Args:
        owner: The object in messages, such as ``"LeafMonitor(name='leaf')"``.
        on_error: ``"warn"``: warn once through logging and as a warning. ``"raise"``: raise.

    Attributes:
        active: False after an error.

    Raises:
        LeafError: If ``on_error`` is out of its range.
    """

    def __init__(self, owner: str, on_error: OnError) -> None:
        one_of(on_error, get_args(OnError), "on_error")
        self.owner = owner
        self.active = True
        self._on_error = on_error

    @contextmanager
    def catching(self, doing: str) -> Iterator[None]:
        """Catch errors, also ``sys.exit``.

        Args:
            doing: What is being done, for messages.
        """
        try:
            with exits_as_errors():
                yield
        except Exception as error:
            self.fail(error, doing)

    def report(self, error: Exception, consequence: str) -> None:
        """Raise an error, or warn of it, without switching the owner off.

        Args:
            error: The error.
            consequence: What the owner does, such as ``"begins anew"``.
        """
        if self._on_error == "raise":
            raise error
        warn(f"{self.owner} {consequence}. Cause: {type_name(error)}: {one_line(error)}")

    def fail(self, error: Exception, doing: str, advice: str = "") -> None:
        """Raise an error, or warn of it and switch the owner off.

        Args:
            error: The error.
            doing: What was being done.
            advice: What to write to make it work.
        """
        if (of_handler := of_signal_handler(error)) is not None:
            raise of_handler
        if self._on_error == "raise":
            raise error
        self.active = False
        warn(
            f"{self.owner} has switched itself off; training continues. Cause: "
            f"{type_name(error)}: {one_line(error)} This happened while {doing}."
            f"{advice and ' ' + advice} (Pass on_error='raise' to get the traceback.)"
        )
