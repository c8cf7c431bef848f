"""The errors that this package raises, and objects of users as text for messages.

Messages state the rule, the value, and what to do. A message about an object of a user runs code of
the user, such as ``__str__`` of an exception or ``__repr__`` of a data set. The functions of this
module return text of bounded length also where this code raises an error.
"""

from __future__ import annotations

import dis
import inspect
import reprlib
import signal
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from traceback import walk_tb
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

LONGEST_TEXT = 20_000
"""Characters of an error message that are kept: one half of its beginning, one of its end."""
LONGEST_VALUE = 200
"""Characters of a value that is shown."""


class LeafError(ValueError):
    """An input, a model or an argument that cannot be used."""


class NonFiniteError(LeafError):
    """NaN or infinity in the inputs or in the output of the model."""


class Interrupted(LeafError):
    """Work that was interrupted on request."""


def type_name(value: Any) -> str:
    """Return the name of the type of a value. No code of the type runs.

    Example:
        >>> type_name(3)
        'int'
    """
    name: str = type.__dict__["__name__"].__get__(type(value))  # a metaclass can replace __name__
    return _printable(name, LONGEST_VALUE)


def message_of(error: BaseException) -> str:
    r"""Return the message of an error, at most 20 000 characters and in printable lines.

    Example:
        >>> message_of(ValueError("expected a list\nof names"))
        'expected a list\nof names'
    """
    text = _text(str, error)
    if text is None:
        return "(the error has no readable message)"
    return "\n".join(_printable(line, LONGEST_TEXT) for line in text.split("\n"))


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error. No code of its type runs."""
    descriptor: Any = vars(BaseException)["__traceback__"]
    found: TracebackType | None = descriptor.__get__(error)
    return found


def place_of(error: BaseException) -> tuple[str, str]:
    """Return the file and line at which an error was raised, and the name of the function.

    The file and line is ``"file.py:12"``. Both are empty for an error that was not raised.
    """
    last = traceback_of(error)
    if last is None:
        return "", ""
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    return f"{code.co_filename}:{last.tb_lineno}", code.co_name


def is_meant_for_others(error: BaseException) -> bool:
    """Return whether an error that code of the user let through is not one of this code.

    These are KeyboardInterrupt, errors that a handler of a signal raises, and errors that another
    thread raises in this one. An error of another thread is a BaseException without a ``raise``
    statement where it begins. One that an extension module raises has none either, and counts too.
    ``SystemExit`` and subclasses of Exception never count as errors of another thread.
    """
    if issubclass(type(error), KeyboardInterrupt) or of_signal_handler(error) is not None:
        return True
    return not issubclass(type(error), (Exception, SystemExit)) and not _is_from_raise(error)


def of_signal_handler(error: BaseException) -> BaseException | None:
    """Return the error among an error and its causes that a handler of a signal raised, if any.

    An ``Exception`` or a cause counts only as long as the handler is installed. The handler of a
    time limit inside the code of the user is removed before its error is caught.
    """
    for each in _with_causes(error):
        passes = each is error and not issubclass(type(error), Exception)
        for number, code in _signal_handlers_in(each):
            if passes or _code_of(signal.getsignal(number)) is code:
                return each
    return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    errors = [error]
    seen: set[int] = set()
    while errors and len(seen) < _MOST_CAUSES:
        error = errors.pop()
        seen.add(id(error))
        yield error
        for name in ("__context__", "__cause__"):
            cause = vars(BaseException)[name].__get__(error)
            if cause is not None and id(cause) not in seen:
                errors.append(cause)


def _signal_handlers_in(error: BaseException) -> Iterator[tuple[int, CodeType]]:
    """Yield functions of the traceback that got a signal and the frame that it interrupted."""
    for frame, _ in walk_tb(traceback_of(error)):
        for number, interrupted in pairwise(_arguments_of(frame)):
            if (
                type(interrupted) is FrameType
                and interrupted is frame.f_back
                and type(number) in (int, signal.Signals)
                and number in signal.valid_signals()
            ):
                yield number, frame.f_code


def _arguments_of(frame: FrameType) -> list[Any]:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    values = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
    if code.co_flags & _HAS_VARARGS:
        values += frame.f_locals.get(code.co_varnames[count]) or ()
    return values


def _code_of(handler: Any) -> CodeType | None:
    while type(handler) is partial:
        handler = handler.func
    try:
        code = getattr(handler, "__code__", None)
        return type(handler).__call__.__code__ if code is None else code
    except Exception:  # a function of C
        return None


def _is_from_raise(error: BaseException) -> bool:
    """Return whether the innermost instruction of the traceback is a ``raise``."""
    last = traceback_of(error)
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE


_RAISE = dis.opmap["RAISE_VARARGS"]
_HAS_VARARGS = inspect.CO_VARARGS
_MOST_CAUSES = 100


def shown(value: Any) -> str:
    """Return the representation of a value in one line of bounded length.

    Example:
        >>> shown(["cat", "dog"]), len(shown("x" * 10**6)) <= 200
        ("['cat', 'dog']", True)
    """
    text = _text(_short.repr, value)
    return f"<{type_name(value)}>" if text is None else _printable(text, LONGEST_VALUE)


_short = reprlib.Repr()
_short.maxlevel = 4
_short.maxtuple = _short.maxlist = _short.maxdict = _short.maxset = _short.maxfrozenset = 20
_short.maxarray = _short.maxdeque = 20
_short.maxstring = _short.maxlong = _short.maxother = LONGEST_VALUE


def result_of(function: Callable[..., T], *arguments: Any) -> T | None:
    """Return the result of code of the user; None if it raises an error, also SystemExit.

    Errors that are meant for others, such as KeyboardInterrupt, are raised.
    """
    try:
        return function(*arguments)
    except BaseException as error:
        if is_meant_for_others(error):
            raise
        return None


def _text(function: Callable[[Any], str], value: Any) -> str | None:
    """Return the text of a value, of bounded length; None if its code raises an error."""
    text = result_of(function, value)
    if text is None:
        return None
    # Methods of str itself: the text can be of a subclass.
    length, half = str.__len__(text), LONGEST_TEXT // 2
    if length <= LONGEST_TEXT:
        return str.__getitem__(text, slice(0, length))
    return f"{str.__getitem__(text, slice(0, half))}…{str.__getitem__(text, slice(-half, length))}"


def _printable(line: str, longest: int) -> str:
    """Return a line without control characters, cut in the middle if it is too long."""
    if len(line) > longest:
        half = (longest - 1) // 2
        line = f"{line[:half]}…{line[-half:]}"
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else " " for each in line.replace("\r", ""))
