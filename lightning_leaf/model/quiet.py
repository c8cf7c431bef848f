"""Measure a model in the middle of its training without leaving a trace.

:func:`quiet` is the one place where the state of a training is set aside and put back; each of its
parts guards one thing that measuring was seen to change.
"""

from __future__ import annotations

import operator
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def quiet(model: Callable[..., Any]) -> Iterator[None]:
    """Inside, gradients with respect to inputs may be taken; afterwards nothing has changed.

    Sets aside and restores, whatever happens inside: the mode (training or evaluation) of every
    sub-module, its parameters, buffers and attributes, the random streams of torch (CPU and
    accelerators), NumPy and Python. Inside, the model is in evaluation mode, gradients are
    enabled, autocast and inference mode are off, compiled modules run eagerly (instead of
    compiling once more) and a LightningModule's ``self.log`` is silent.

    Not seen are changes that a forward makes inside of nested collections, in place in tensors that
    are neither parameter nor buffer, and outside of its module.

    Args:
        model: The module to measure. For any other callable only the global state is guarded.
    """
    with ExitStack() as stack:
        stack.enter_context(random_streams())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(no_autocast())
        stack.enter_context(eager_if_compiled())
        if isinstance(model, nn.Module):
            stack.enter_context(evaluation_mode(model))
            stack.enter_context(unchanged_parameters(model))
            stack.enter_context(unchanged_buffers(model))
            stack.enter_context(silent_log(model))
            stack.enter_context(unchanged_attributes(model))
        yield


@contextmanager
def random_streams() -> Iterator[None]:
    """Restore every random number generator that a forward pass may draw from."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    # Asking an accelerator that nobody has used yet would initialise it.
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if in_use else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


@contextmanager
def no_autocast() -> Iterator[None]:
    """Measure in full precision: half-precision gradients are too coarse for a spectrum."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.cuda.is_available():
            stack.enter_context(torch.autocast("cuda", enabled=False))
        yield


@contextmanager
def eager_if_compiled() -> Iterator[None]:
    """Run compiled modules eagerly: a recompilation for our shapes changed final weights."""
    if "torch._dynamo" not in sys.modules:  # nothing has been compiled; importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for all sub-modules, then each one's own mode again.

    ``module.eval()`` and ``module.train()`` would wake a frozen batch-norm, and call overridden
    ``train`` methods for no reason.
    """
    modes = [(submodule, submodule.training) for submodule in module.modules()]
    try:
        for submodule, _ in modes:
            submodule.training = False
        yield
    finally:
        for submodule, mode in modes:
            submodule.training = mode


@contextmanager
def unchanged_parameters(module: nn.Module) -> Iterator[None]:
    """Restore parameters that a forward pass writes to: weights that it normalises or bounds.

    Every measurement needs a copy of the weights, because any may be the first at which they
    exceed a bound; one within another has the other's. Copies are kept in the memory of the host:
    that of an accelerator is the training's.
    """
    if module in _GUARDED:
        yield
        return
    _GUARDED.add(module)
    try:
        with _restoring(module.parameters(), kept_on=torch.device("cpu")):
            yield
    finally:
        _GUARDED.discard(module)


_GUARDED: WeakSet[nn.Module] = WeakSet()


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Restore buffers that a forward pass changes even in evaluation mode (counters, queues)."""
    with _restoring(module.buffers()):
        yield


@contextmanager
def _restoring(tensors: Iterable[Tensor], kept_on: torch.device | None = None) -> Iterator[None]:
    """Undo writing to tensors, and assigning to their ``data``."""
    saved = [
        (tensor, tensor.data, tensor.detach().to(kept_on or tensor.device, copy=True))
        for tensor in tensors
        # Tensors that are spread over processes or quantised cannot be compared in place.
        if type(tensor) in (Tensor, nn.Parameter)
    ]
    try:
        yield
    finally:
        for tensor, data, copy in saved:
            if tensor.untyped_storage().nbytes() == 0:  # gathered before, spread out again since
                continue
            if tensor.data_ptr() != data.data_ptr():
                tensor.data = data
            value = copy.to(tensor.device)
            # Writing to a tensor that is as it was could invalidate a graph that still needs it.
            if not torch.equal(tensor, value):
                with torch.inference_mode(tensor.is_inference()), torch.no_grad():
                    tensor.copy_(value)


@contextmanager
def unchanged_attributes(module: nn.Module) -> Iterator[None]:
    """Restore what a forward pass assigns to attributes, or collects in those that are collections.

    Numbers, remembered features, buffers made at first use; items of lists, dicts and sets, but
    not what is inside of these.
    """
    attributes = [vars(part) for part in module.modules()]
    collections = [
        value
        for values in attributes
        for value in values.values()
        # Sharded modules gather their parameters and spread them out again by themselves.
        if isinstance(value, (list, dict, set)) and value is not values["_parameters"]
    ]
    saved: list[tuple[Any, Any]] = [
        *((each, dict(each)) for each in attributes),
        *((each, each.copy()) for each in collections),
    ]
    try:
        yield
    finally:
        for collection, before in saved:
            _restore_items(collection, before)


def _restore_items(collection: Any, before: Any) -> None:
    """Make the items the same objects as before, writing only where they are not."""
    if isinstance(collection, dict):
        absent = object()
        for name in collection.keys() - before.keys():
            del collection[name]
        for name, value in before.items():
            if collection.get(name, absent) is not value:
                collection[name] = value
    elif isinstance(collection, set):
        collection.intersection_update(before)
        collection.update(before)
    elif len(collection) != len(before) or not all(map(operator.is_, collection, before)):
        collection[:] = before


@contextmanager
def silent_log(module: nn.Module) -> Iterator[None]:
    """Silence ``self.log`` of LightningModules: a measurement is not a training step."""
    silenced: list[tuple[dict[str, Any], str, Any]] = []
    absent = object()
    try:
        for submodule in module.modules():
            if not hasattr(type(submodule), "log_dict"):
                continue
            for name in ("log", "log_dict"):
                silenced.append((submodule.__dict__, name, submodule.__dict__.get(name, absent)))
                submodule.__dict__[name] = _log_nothing
        yield
    finally:
        for attributes, name, value in silenced:
            if value is absent:
                del attributes[name]
            else:
                attributes[name] = value


def _log_nothing(*_: Any, **__: Any) -> None:
    """Stands in for ``LightningModule.log`` during a measurement."""
