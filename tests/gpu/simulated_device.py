"""A simulated accelerator: tensors that compute on the CPU and report that they are elsewhere.

Without a GPU it shows operations on tensors of several devices, which a GPU refuses, kernel
launches, and every point at which the host waits for the device. It cannot show what cuDNN, cuBLAS
and cuSOLVER do, nor times.

A :class:`Simulation` is a context. In it, ``tensor.to(DEVICE)`` returns a :class:`DeviceTensor`.
Operations on such tensors are counted, each with the line of the package that causes it.

The device has the type of one that PyTorch knows, "lazy": nothing has to be registered for the
whole process, and backward passes run in the calling thread.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("lazy", 0)

_PACKAGE = "/lightning_leaf/"

Event = tuple[str, str]
"""What happened, and the line of the package that caused it: ``("nonzero", "paths/walk.py:120")``.
The line is "outside" if no line of the package did."""


@dataclass
class Counts:
    """What the device was asked to do.

    Attributes:
        kernels: Launched kernels. Views and allocations launch none.
        double_kernels: Those of them with float64 arguments.
        waits: Points at which the host waits for the device: values that the host reads,
            operations whose output shape depends on values, error checks of solvers, and copies
            between host and device, except asynchronous ones to the device.
        mixes: Operations on tensors of several devices, and values read without a copy to the
            host, which a GPU refuses.
    """

    kernels: Counter[Event] = field(default_factory=Counter)
    double_kernels: Counter[Event] = field(default_factory=Counter)
    waits: Counter[Event] = field(default_factory=Counter)
    mixes: Counter[Event] = field(default_factory=Counter)

    def __str__(self) -> str:
        return "\n".join(
            f"{sum(counter.values())} {name}: "
            + ", ".join(f"{n} {what} at {line}" for (what, line), n in counter.most_common(12))
            for name, counter in vars(self).items()
        )


@dataclass(frozen=True)
class PerStep:
    """Average numbers for one step of a path."""

    kernels: float
    waits: float
    counts: Counts
    """What the longer of two compared paths did."""


class DeviceTensor(Tensor):
    """A tensor that reports :data:`DEVICE` and holds its values in a tensor on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> DeviceTensor:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        made.values = values.detach()
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return Simulation.current().compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        Simulation.current().waits("tolist")
        return self.values.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        Simulation.current().mixes("numpy")
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy "
            "the tensor to host memory first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def data_ptr(self) -> int:
        return self.values.data_ptr()

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, new: Tensor) -> None:
        Tensor.data.__set__(self, new)  # type: ignore[attr-defined]
        self.values = _values(new)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, nn.Parameter):
            copied = nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"DeviceTensor({self.values})"


_WAITING = {
    *(
        "_local_scalar_dense",
        "equal",
        "allclose",
        "is_nonzero",
        "nonzero",
        "masked_select",
        "bincount",
    ),
    *("_unique2", "unique_dim", "unique_consecutive", "repeat_interleave", "_linalg_check_errors"),
    *("_linalg_eigh", "_linalg_svd", "linalg_eig", "linalg_lstsq"),
}
"""Operations for whose values, or for the shape of whose output, the host waits."""

_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}

_WITHOUT_KERNEL = {"_unsafe_view", "lift_fresh", "is_same_size", "is_pinned"}


class Simulation(TorchDispatchMode):
    """The context in which :data:`DEVICE` exists.

    Args:
        float64: Whether the device computes in float64; Apple's do not.

    Attributes:
        counts: What was counted so far.
    """

    _active: Simulation | None = None

    def __init__(self, *, float64: bool = True) -> None:
        super().__init__()
        self.counts = Counts()
        self._float64 = float64
        self._random = torch.Generator().manual_seed(0).get_state()
        self._stack = ExitStack()

    @staticmethod
    def current() -> Simulation:
        """Return the simulation whose context is active."""
        if Simulation._active is None:
            raise RuntimeError("Expected an active Simulation for a DeviceTensor; there is none.")
        return Simulation._active

    def __enter__(self) -> Simulation:
        super().__enter__()
        Simulation._active = self
        self._stack.enter_context(_Factories())
        known = torch.is_autocast_enabled
        self._stack.enter_context(
            mock.patch.object(  # torch knows no autocast for this type of device
                torch,
                "is_autocast_enabled",
                lambda *kind: kind != (DEVICE.type,) and known(*kind),
            )
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()
        Simulation._active = None
        super().__exit__(*error)

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count what happens in a context."""
        outer, self.counts = self.counts, Counts()
        try:
            yield self.counts
        finally:
            for name, counter in vars(self.counts).items():
                getattr(outer, name).update(counter)
            self.counts = outer

    def per_step(self, walk: Callable[[int], Any], short: int = 15, long: int = 31) -> PerStep:
        """Return what one step costs: the difference of two walks of different lengths.

        Args:
            walk: Walks the given number of steps.
            short: Length of the first walk; one step less than a block of them.
            long: Length of the second walk.
        """
        counted = []
        for steps in (short, long):
            with self.counting() as counts:
                walk(steps)
            counted.append(counts)
        kernels, waits = (
            (sum(getattr(counted[1], name).values()) - sum(getattr(counted[0], name).values()))
            / (long - short)
            for name in ("kernels", "waits")
        )
        return PerStep(kernels, waits, counted[1])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self.compute(func, args, kwargs or {})

    def compute(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute an operation on the CPU, and count it if the device takes part in it."""
        if _is_composite(func):
            # Inference mode hands over operations that consist of others.
            TorchDispatchMode.__enter__(self)
            try:
                return func.decompose(*args, **kwargs)
            finally:
                TorchDispatchMode.__exit__(self, None, None, None)
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        target = kwargs.get("device")
        to_device = _is_device(target)
        if not (to_device or any(isinstance(each, DeviceTensor) for each in tensors)):
            return func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        generator = kwargs.get("generator")
        if generator is not None and generator.device != DEVICE:
            self.mixes(name)
            raise RuntimeError(
                f"Expected a '{DEVICE.type}' device type for generator but found "
                f"'{generator.device.type}'"
            )
        if name in ("_to_copy", "copy_"):
            self._count_copy(name, args, kwargs)
        else:
            self._count(func, name, args, tensors)
        options = {key: _map(_values, value) for key, value in kwargs.items()}
        if target is not None:
            options["device"] = torch.device("cpu")
        result = self._computed(func, _map(_values, args), options)
        if target is not None and not to_device:
            return result
        written = [
            kwargs.get(argument.name) if argument.kwarg_only else args[i]
            for i, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        if written and len(func._schema.returns) == len(written):
            return written[0] if len(written) == 1 else tuple(written)
        return _map(self._on_device, result)

    def waits(self, what: str) -> None:
        """Count that the host waits for the device."""
        self.counts.waits[what, _line()] += 1

    def mixes(self, what: str) -> None:
        """Count what a GPU refuses."""
        self.counts.mixes[what, _line()] += 1

    def _launches(self, name: str, double: bool) -> None:
        line = _line()
        self.counts.kernels[name, line] += 1
        if double:
            self.counts.double_kernels[name, line] += 1

    def _count_copy(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        source = args[0] if name == "_to_copy" else args[1]
        here = isinstance(source, DeviceTensor)
        if name == "copy_":
            there = isinstance(args[0], DeviceTensor)
            asynchronous = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        else:
            target = kwargs.get("device")
            there = here if target is None else _is_device(target)
            asynchronous = kwargs.get("non_blocking", False)
        if here and there:
            self._launches(name, source.dtype == torch.float64)
        elif here:
            self.waits("copy to the host")
        elif not asynchronous:
            self.waits("copy to the device")

    def _count(self, func: Any, name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
        # A kernel takes a tensor without dimensions on the host as a number.
        host = [each for each in tensors if not isinstance(each, DeviceTensor) and each.ndim]
        double = any(each.dtype == torch.float64 for each in tensors)
        indices = [each for each in args[1] if each is not None] if name in _INDEXING else []
        if host and len(host) < len(tensors):
            if all(any(each is index for index in indices) for each in host):
                self.waits("copy to the device")
            else:
                self.mixes(name)
        if name in _WAITING:
            self.waits(name)
        elif any(each.dtype in (torch.bool, torch.uint8) for each in indices):
            # A single value is written by a kernel that takes the mask.
            if name != "index" and len(indices) == 1 and args[2].numel() == 1:
                self._launches(name, double)
            else:
                self.waits("Boolean mask")
        elif not (name in _WITHOUT_KERNEL or "empty" in name or _is_view(func)):
            self._launches(name, double)

    def _computed(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        # The device has a random stream of its own.
        host = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            return func(*args, **kwargs)
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(host)

    def _on_device(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if not self._float64 and value.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"Cannot convert a tensor to {value.dtype}: {DEVICE} has no float64.")
        return DeviceTensor(value)


class _Factories(TorchFunctionMode):
    """Build on the host what is written without the dispatcher, and copy it to the device."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_device(kwargs.get("device")):
            return func(*args, **kwargs | {"device": None}).to(DEVICE)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], DeviceTensor):
            key = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(each, list | range) for each in key):
                key = tuple(
                    torch.tensor(list(each)).to(DEVICE) if isinstance(each, list | range) else each
                    for each in key
                )
                args = (args[0], key, *args[2:])
        return func(*args, **kwargs)


def _line() -> str:
    """Return the innermost line of the package that is being executed."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if _PACKAGE in path:
            return f"{path.rpartition(_PACKAGE)[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside"


def _is_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


@cache
def _is_composite(func: Any) -> bool:
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)


@cache
def _is_view(func: Any) -> bool:
    """Return whether the result of an operation is a view of an argument."""
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


def _values(value: Any) -> Any:
    return value.values if isinstance(value, DeviceTensor) else value


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to everything in the arguments or the result of an operation."""
    if isinstance(value, list | tuple):
        return type(value)([_map(function, each) for each in value])
    return function(value)


def _tensors(arguments: Iterable[Any]) -> Iterator[Tensor]:
    for each in arguments:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)
