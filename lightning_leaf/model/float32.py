"""Compute float32 in float32, without the shorter formats that devices can use inside.

TF32 and bfloat16 inside of products and convolutions have 11 and 8 significant bits instead of 24.
A training may use them, but derivatives are then too coarse: cuDNN uses TF32 for convolutions by
default.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import backends

from lightning_leaf.model.backward import replaced

Node = tuple[str, str]
"""A backend and an operation of PyTorch's new interface (2.9)."""

ALL = ("generic", "all")
BACKENDS = "cuda", "mkldnn"
OPERATIONS = "conv", "rnn", "matmul"

IEEE = "ieee"
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
    other. Both can be used inside the context, and afterwards both are as before.
    """
    with ExitStack() as stack:
        if HAS_NODES:
            stack.enter_context(_ieee_nodes())
        else:
            stack.enter_context(_restoring(_old_cudnn, _set_old_cudnn, False))
            stack.enter_context(_old_products())
        # Of Intel GPUs. Other builds of PyTorch have no such setting, and read None.
        one_dnn = getattr(torch._C, "_get_onednn_allow_tf32", lambda: None)
        if one_dnn():
            stack.enter_context(_restoring(one_dnn, torch._C._set_onednn_allow_tf32, False))
        yield


@contextmanager
def _restoring(read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def _old_products() -> Any:
    """Set the old interface to IEEE products, also of matrices on the CPU."""
    return _restoring(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    )


@contextmanager
def _ieee_nodes() -> Iterator[None]:
    """Set every node, and what the old interface remembers, to IEEE."""
    before = _values()
    convolutions = [before["cuda", "conv"], before["cuda", "rnn"]]
    try:
        for node, value in before.items():
            if value != BUILT_IN:  # takes the value above it
                _write(*node, IEEE)
        _warn_unseen()
        with ExitStack() as stack:
            # Where all is IEEE, the old interface can be read.
            stack.enter_context(_old_products())
            if BUILT_IN in convolutions:
                # Writing through the old interface would overwrite it.
                stack.enter_context(_old_interface_reads_nodes())
            else:
                stack.enter_context(_restoring(_old_convolutions, _set_old_cudnn, False))
            yield
    finally:
        _restore(before)


def _restore(before: dict[Node, str]) -> None:
    now = _values() if BUILT_IN in before.values() else before
    lost = [node for node, value in before.items() if value == BUILT_IN and now[node] != BUILT_IN]
    if lost:  # written through the old interface
        _set_old_cudnn(True)
    for node, value in before.items():
        if value != BUILT_IN:
            _write(*node, value)
    for backend, operation in lost:
        above = _value_above(before, backend)
        _write(backend, operation, "tf32" if above == INHERITED else INHERITED)


def _value_above(values: dict[Node, str], backend: str) -> str:
    own = values[backend, "all"]
    return values[ALL] if own == INHERITED else own


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
def _old_interface_reads_nodes() -> Iterator[None]:
    """Let the old interface read the nodes, instead of comparing them with what it remembers.

    ``torch.backends.cudnn.flags()``, which a forward pass may use, reads it.
    """

    def allows() -> bool:
        return _read("cuda", "conv") == "tf32"

    kind = type(backends.cudnn)
    before = vars(kind)["allow_tf32"]
    kind.allow_tf32 = type(before)(allows, _set_old_cudnn)  # type: ignore[attr-defined]
    try:
        with replaced([(vars(torch._C), "_get_cudnn_allow_tf32", allows)]):
            yield
    finally:
        kind.allow_tf32 = before  # type: ignore[attr-defined]


@cache
def _warn_unseen() -> None:
    """Let PyTorch warn that the old interface is old, which it does once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.get_float32_matmul_precision()
