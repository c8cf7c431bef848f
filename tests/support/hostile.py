"""Objects of which the special methods raise errors or return nonsense, and errors to raise."""

from __future__ import annotations

import builtins
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch.utils.data import Dataset


class Cancelled(BaseException):
    """An error that no ``except Exception`` catches."""


class WithoutText(Exception):
    """An error of which every text raises an error."""

    def _raise(self, *_: Any) -> Any:
        raise RuntimeError("no text")

    __str__ = __repr__ = __format__ = _raise


class WithoutKind(Exception):
    """An error whose class seems to be unknown."""

    __class__ = property(WithoutText._raise)  # type: ignore[assignment]
    __traceback__ = property(WithoutText._raise)  # type: ignore[assignment]


class Nameless(type):
    """A metaclass of classes without a name."""

    __name__ = property(WithoutText._raise)  # type: ignore[assignment]


class WithoutName(Exception, metaclass=Nameless):
    """An error whose class has no name."""


class WrongText(Exception):
    """An error whose text is no text."""

    def __str__(self) -> Any:
        return 3


class Text(str):
    """Text of which the methods raise errors."""

    __slots__ = ()
    __len__ = __iter__ = __getitem__ = WithoutText._raise  # type: ignore[assignment]
    strip = split = splitlines = partition = WithoutText._raise  # type: ignore[assignment]


class SubclassText(Exception):
    """An error whose text is of a subclass of str."""

    def __str__(self) -> str:
        return Text("subclass")


class Endless(Exception):
    """An error that is its own cause."""

    def __init__(self) -> None:
        super().__init__()
        self.__cause__ = self


def _group(kind: str, inner: BaseException) -> BaseException:
    """Return a group of errors, which Python 3.10 does not have."""
    make: Any = getattr(builtins, kind, None)
    return OSError(inner) if make is None else make("several errors", [inner])


ERRORS: dict[str, Callable[[], BaseException]] = {
    "plain": lambda: RuntimeError("hostile"),
    "without text": WithoutText,
    "without kind": WithoutKind,
    "without name": WithoutName,
    "wrong text": WrongText,
    "subclass text": SubclassText,
    "long text": lambda: ValueError("x" * 10**6),
    "many lines": lambda: ValueError("x\n" * 10**5),
    "control characters": lambda: ValueError("\x1b[2J\r\0\udcff‮ {} %s %d"),
    "own cause": Endless,
    "exit": lambda: SystemExit(0),
    "cancelled": lambda: Cancelled("gone"),
    "stop": lambda: StopIteration(3),
    "inner errors": lambda: OSError([ValueError("a")], WithoutText()),
    "group": lambda: _group("ExceptionGroup", WithoutText()),
    "group of exits": lambda: _group("BaseExceptionGroup", SystemExit(0)),
    "recursion": lambda: RecursionError("maximum recursion depth exceeded"),
    "memory": MemoryError,
}


METHODS = (
    "__len__", "__getitem__", "__iter__", "__bool__", "__eq__", "__hash__", "__repr__", "__str__",
    "__class__", "__call__", "__getattr__", "__contains__", "__index__", "__int__", "__float__",
    "__array__", "__deepcopy__", "__reduce_ex__", "__getitems__", "__next__", "__dict__", "keys",
    "items", "values", "__name__", "transform", "classes", "targets", "fires", "reason",
    "same_on_all_ranks",
)  # fmt: skip
NONSENSE = (None, -1, 2**63, 10**400, 0.5, "", "text", (), [], {}, object, NotImplemented)


def hostile_class(chance: random.Random, base: type) -> type:
    """Return a class of which some special methods raise errors or return nonsense."""
    members: dict[str, Any] = {}
    for name in chance.sample(METHODS, chance.choice([1, 2, 4, 12, len(METHODS)])):
        result = chance.choice(NONSENSE)
        make = chance.choice(list(ERRORS.values())) if chance.random() < 0.7 else None

        def method(self: Any, *_: Any, _make: Any = make, _result: Any = result, **__: Any) -> Any:
            if _make is not None:
                raise _make()
            return _result

        is_attribute = name in ("__class__", "__dict__", "__name__") or chance.random() < 0.2
        members[name] = property(method) if is_attribute else method
    return type("Hostile", (base,), members)


class Examples(Dataset[Any]):
    """A data set of a length that works, on which hostile ones are based."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, position: int) -> Any:
        return [float(position)] * 4, position % 3


class Keys(Mapping[str, Any]):
    """A mapping that works."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(["x"])

    def __getitem__(self, key: str) -> Any:
        return [[1.0, 2.0]]
