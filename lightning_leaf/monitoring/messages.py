"""Messages to the user: through logging, and as warnings.

The functions that send a message raise no error, also where a handler, a filter or a replaced
``warnings.showwarning`` does: they are called after an error, to keep the training alive.
"""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import suppress
from typing import Literal

from lightning_leaf.errors import LeafError, message_of

OnError = Literal["warn", "raise"]
"""What to do after an error: warn and switch off, or raise it."""

LOGGER = logging.getLogger("lightning_leaf")
LONGEST_MESSAGE = 240
"""Characters that are shown of an error message that is not our own."""
LONGEST_OWN_MESSAGE = 4000
"""Characters that are shown of an error message of our own, which can contain names of users."""


def inform(message: str) -> None:
    """Log a message."""
    _log(logging.INFO, message)


def warn(message: str) -> None:
    """Log a warning, and warn: Python shows an equal warning only once."""
    log_warning(message)
    with suppress(Exception):  # a program may turn warnings into errors
        warnings.warn(message, UserWarning, stacklevel=2)


def log_warning(message: str) -> None:
    """Log a warning."""
    _log(logging.WARNING, message)


def one_line(error: BaseException) -> str:
    """Return the message of an error as one line that ends with a period.

    Messages of other packages can be pages long, with the representation of a module or with
    frames of C++. Of these the first line is kept, and no more than 240 characters.
    """
    text = message_of(error).strip()
    if issubclass(type(error), LeafError):  # isinstance would run code of the error
        line, longest = " ".join(text.split()), LONGEST_OWN_MESSAGE
    else:
        line = next((each.strip() for each in text.splitlines() if each.strip()), "(no message)")
        longest = LONGEST_MESSAGE
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    return line if line.endswith((".", "…", "!", "?", ".)")) else f"{line}."


def _log(level: int, message: str) -> None:
    with suppress(Exception):  # of a handler or filter of the program
        _show_messages()
        LOGGER.log(level, message)


def _show_messages() -> None:
    """Show messages from the level INFO on, as Lightning does, unless the program has decided."""
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)
    if not LOGGER.hasHandlers():
        LOGGER.addHandler(_StandardError())
        LOGGER.propagate = False


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """A handler that writes to the current ``sys.stderr``, which notebooks replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)
