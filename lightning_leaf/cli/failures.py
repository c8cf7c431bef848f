"""Errors of the user's code as one line of a command."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from lightning_leaf.errors import (
    LeafError,
    message_of,
    place_of,
    result_of,
    traceback_of,
    type_name,
)

LONGEST_LINE = 300
INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended: 128 plus the number of the signal."""


def fail(command: str, message: str) -> int:
    """Print an error of a command in one line and return its exit status, 1."""
    say(f"lightning-leaf {command}: {message}")
    return 1


def say(message: str) -> None:
    """Print one line to the standard error stream, which code of the user may have replaced."""
    for stream in (sys.stderr, sys.__stderr__):
        if stream is not None and result_of(_is_printed, printable(message), stream):
            return


def _is_printed(line: str, stream: Any) -> bool:
    print(line, file=stream, flush=True)
    return True


def printable(text: str) -> str:
    """Return text in one line without control characters, which names of files may contain."""
    return " ".join(message_of(Exception(text)).split("\n"))


def described(error: BaseException) -> str:
    """Return type, message and place of an error: ``SystemExit: 0 (project.py:3)``.

    The place is the last line of the user's code that was running, else the line that raised it.
    """
    lines = [line.strip() for line in message_of(error).split("\n") if line.strip()]
    ends = lines if len(lines) < 2 else [lines[0], lines[-1]]
    message = " … ".join(line[:LONGEST_LINE] for line in ends)
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(traceback_of(error))]
    own = [place for place in places if _is_of_user(place[0])]
    place = "".join(f" ({file}:{line})" for file, line in (own or places)[-1:])
    return f"{type_name(error)}{': ' if message else ''}{message}{place}"


@contextmanager
def user_code(expected: str, advice: str) -> Iterator[None]:
    """Raise LeafError for whatever the code inside raises, also for ``sys.exit``.

    Args:
        expected: What is expected of the user's code.
        advice: What to do.

    Raises:
        LeafError: If the code inside raises anything but a LeafError or a KeyboardInterrupt.
    """
    try:
        yield
    except (LeafError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise LeafError(f"{expected} raised {described(error)}. {advice}") from error


def is_interrupt(error: BaseException) -> bool:
    """Return whether Ctrl-C caused an error. Lightning ends the process by ``sys.exit`` then."""
    causes = (error, error.__context__) if type(error) is SystemExit else (error,)
    # isinstance would run code of the error.
    return any(issubclass(type(cause), KeyboardInterrupt) for cause in causes)


def is_of_lightning(error: BaseException) -> bool:
    """Return whether Lightning itself raised an error, and not code of the user."""
    import lightning

    file, _ = place_of(error)
    return file.startswith(str(Path(lightning.__file__).parent) + os.sep)


def _is_of_user(file: str) -> bool:
    return not file.startswith(("<", *_INSTALLED))


_INSTALLED = (
    str(Path(__file__).parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
