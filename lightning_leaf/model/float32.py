"""Compute float32 in float32, without the shorter formats that devices can use inside.

TF32 and bfloat16 inside of products and convolutions have 11 and 8 significant bits instead of 24.
A training may use them, but derivatives are then too coarse: cuDNN uses TF32 for convolutions by
default.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch import backends

from lightning_leaf.model.backward import replaced

Node = tuple[str, str]
"""A backend and an operation of PyTorch's new interface (2.9)."""

ALL = ("generic", "all")
BACKENDS = "cuda", "mkldnn"
OPERATIONS = "conv", "rnn", "matmul"

IEEE = "ieee"
HIGHEST = "highest"
"""IEEE in the words of the old interface."""
INHERITED = "none"
BUILT_IN = "built-in"
"""TF32, but only until a node above has a value. It can be overwritten, but not written again."""

HAS_NODES = hasattr(torch._C, "_get_fp32_precision_getter")

_read: Callable[[str, str], str] = getattr(torch._C, "_get_fp32_precision_getter", lambda *_: IEEE)
_write: Callable[[str, str, str], None] = getattr(
    torch._C, "_set_fp32_precision_setter", lambda *_: None
)
_old_cudnn: Callable[[], bool] = torch._C._get_cudnn_allow_tf32
_set_old_cudnn: Callable[[bool], None] = torch._C._set_cudnn_allow_tf32


@contextmanager
def full_float32() -> Iterator[None]:
    """Use IEEE float32 in all products, convolutions and recurrent layers, and restore settings.

    PyTorch has two interfaces to these settings, which raise errors if one is used after the
    other. Both can be used inside the context, and afterwards both are as before. Writes to values
    that cannot be restored are ignored inside.
    """
    with _ieee_nodes() if HAS_NODES else _old_interface(), _one_dnn():
        yield


@contextmanager
def _old_interface() -> Iterator[None]:
    """Set IEEE precision through the only interface of PyTorch 2.6 to 2.8."""
    convolutions, products = _old_cudnn(), torch.get_float32_matmul_precision()
    try:
        _set_old_cudnn(False)
        torch.set_float32_matmul_precision(HIGHEST)
        yield
    finally:
        _set_old_cudnn(convolutions)
        torch.set_float32_matmul_precision(products)


def _one_dnn() -> AbstractContextManager[None]:
    """Return a context with IEEE precision on Intel GPUs; other builds have no such setting."""
    reads = getattr(torch._C, "_get_onednn_allow_tf32", None)
    return _without_tf32_on_xpu() if reads is not None and reads() else nullcontext()


@contextmanager
def _without_tf32_on_xpu() -> Iterator[None]:
    torch._C._set_onednn_allow_tf32(False)
    try:
        yield
    finally:
        torch._C._set_onednn_allow_tf32(True)


@contextmanager
def _ieee_nodes() -> Iterator[None]:
    """Set every node, and what the old interface remembers, to IEEE."""
    before = _values()
    built_in = [node for node, value in before.items() if value == BUILT_IN]
    products: str | None = None
    convolutions: bool | None = None
    try:
        for node, value in before.items():
            if value != BUILT_IN:  # takes the value above it
                _write(*node, IEEE)
        _warn_unseen()
        # Where all is IEEE, the old interface can be read.
        products = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(HIGHEST)
        if built_in:
            with _built_in_values_kept(built_in):
                yield
        else:
            convolutions = _old_convolutions()
            _set_old_cudnn(False)
            yield
    finally:
        if products is not None:
            torch.set_float32_matmul_precision(products)
        if convolutions is not None:
            _set_old_cudnn(convolutions)
        for node, value in before.items():
            if value != BUILT_IN:
                _write(*node, value)


def _values() -> dict[Node, str]:
    """Return the value that each node itself has. Reading one gives that of a node above."""
    values = {ALL: _read(*ALL)}
    _write(*ALL, INHERITED)
    try:
        for backend in BACKENDS:
            values[backend, "all"] = own = _read(backend, "all")
            _write(backend, "all", INHERITED)
            alone = [_read(backend, operation) for operation in OPERATIONS]
            _write(backend, "all", IEEE)
            below = [_read(backend, operation) for operation in OPERATIONS]
            _write(backend, "all", own)
            for operation, first, second in zip(OPERATIONS, alone, below, strict=True):
                is_own = first in (second, INHERITED)
                values[backend, operation] = first if is_own else BUILT_IN
    finally:
        _write(*ALL, values[ALL])
    return values


def _old_convolutions() -> bool:
    """Return what the old interface remembers, while the nodes of convolutions are IEEE."""
    try:
        return _old_cudnn()
    except RuntimeError:  # it remembers the opposite
        return True


@contextmanager
def _built_in_values_kept(nodes: list[Node]) -> Iterator[None]:
    """Ignore writes to these nodes, and let the old interface read them.

    Otherwise it compares them with what it remembers, and raises an error if they differ.
    ``torch.backends.cudnn.flags()``, which a forward pass may use, reads and writes it.
    """

    def allows() -> bool:
        return _read("cuda", "conv") == "tf32"

    def write_others(backend: str, operation: str, value: str) -> None:
        if (backend, operation) not in nodes:
            _write(backend, operation, value)

    def ignore(_: bool) -> None:
        """Write nothing, as the old interface writes the nodes of all operations."""

    kind = type(backends.cudnn)
    before = vars(kind)["allow_tf32"]
    kind.allow_tf32 = type(before)(allows, ignore)  # type: ignore[attr-defined]
    functions = {
        "_get_cudnn_allow_tf32": allows,
        "_set_cudnn_allow_tf32": ignore,
        "_set_fp32_precision_setter": write_others,
    }
    try:
        with replaced((vars(torch._C), name, new) for name, new in functions.items()):
            yield
    finally:
        kind.allow_tf32 = before  # type: ignore[attr-defined]


@cache
def _warn_unseen() -> None:
    """Let PyTorch warn that the old interface is old, which it does once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.get_float32_matmul_precision()
