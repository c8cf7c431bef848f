"""Measure a model during its training without a change of the training's state.

:func:`quiet` is the only place that saves and restores this state. Each of its parts guards one
thing that a measurement can change.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import nn
from torch.fx import GraphModule

from lightning_leaf.model.accelerators import (
    accelerator_types,
    autocast_is_enabled,
    modules_in_use,
)
from lightning_leaf.model.backward import (
    gradients_set_aside,
    no_backward_hooks,
    no_checkpointing,
    replaced,
)
from lightning_leaf.model.dense_copies import cheapest_place
from lightning_leaf.model.exits import exits_as_errors
from lightning_leaf.model.float32 import full_float32
from lightning_leaf.model.parts import buffers_of, parameters_of, parts_of
from lightning_leaf.model.settings import unchanged_settings
from lightning_leaf.model.unbuilt import refusing_initialization, refusing_new_parameters
from lightning_leaf.model.unchanged_attributes import unchanged_attributes
from lightning_leaf.model.unchanged_tensors import unchanged_tensors
from lightning_leaf.model.undo import Step, run_all


@contextmanager
def quiet(model: Callable[..., Any]) -> Iterator[None]:
    """Save the state of a training, prepare the model for measuring, and restore the state.

    Saved and restored, also after an error: the mode (training or evaluation) of every sub-module,
    its parameters, their gradients, its buffers and attributes and what they hold, the random
    number generators of torch (CPU and accelerators), NumPy and Python, settings of torch and
    environment variables. In the context, the model is in evaluation mode, gradients are enabled,
    float32 is computed in float32, autocast and inference mode are off, compiled modules run
    eagerly (and are not recompiled), activations are not recomputed, backward hooks are not called,
    and ``self.log`` of LightningModules does nothing.

    Not restored are objects of other packages than the model's, tensors and arrays of more than
    64 MiB that are neither parameters nor buffers, and effects outside of the process, such as
    files. Buffers that a forward pass creates are removed again: before the training's first
    forward pass, a buffer that depends on the first batch is computed from the measured inputs.

    Args:
        model: The module to measure. For any other callable, only the global state is guarded.

    Raises:
        ModelIsUnbuilt: At the forward pass that gives the module a new parameter, and at the end
            if it was initialized from the measured inputs. Both are undone.
        LeafError: If the model calls ``sys.exit``.
    """
    with ExitStack() as stack:
        stack.enter_context(exits_as_errors())
        stack.enter_context(random_streams())
        stack.enter_context(unchanged_settings())
        stack.enter_context(full_float32())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(no_autocast())
        stack.enter_context(eager_if_compiled())
        stack.enter_context(no_checkpointing())
        if isinstance(model, nn.Module):
            stack.enter_context(evaluation_mode(model))
            stack.enter_context(gradients_set_aside(model))
            stack.enter_context(unchanged_parameters(model))
            stack.enter_context(unchanged_buffers(model))
            stack.enter_context(silent_log(model))
            stack.enter_context(unchanged_attributes(model))
            stack.enter_context(refusing_new_parameters(model))
            stack.enter_context(refusing_initialization(model))
            stack.enter_context(no_backward_hooks(model))
        yield


@contextmanager
def random_streams() -> Iterator[None]:
    """Restore every random number generator that a forward pass may draw from."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    steps = [step for module in modules_in_use() for step in _restoring_random_state(module)]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        run_all(steps)


def _restoring_random_state(module: Any) -> Iterator[Step]:
    """Yield how to restore the generators of an accelerator, if it has any."""
    if hasattr(module, "get_rng_state_all"):
        yield partial(module.set_rng_state_all, module.get_rng_state_all())
    elif hasattr(module, "get_rng_state"):  # MPS
        yield partial(module.set_rng_state, module.get_rng_state())


@contextmanager
def no_autocast() -> Iterator[None]:
    """Measure in full precision: half-precision gradients are too coarse for a spectrum."""
    with ExitStack() as stack:
        for kind in ("cpu", *accelerator_types()):
            if autocast_is_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def eager_if_compiled() -> Iterator[None]:
    """Run compiled modules eagerly: recompilation for other shapes can change final weights."""
    if "torch._dynamo" not in sys.modules:  # no module is compiled, and this import takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode on all sub-modules, and restore the mode of each.

    ``module.eval()`` followed by ``module.train()`` would set a frozen batch-norm to training mode,
    and would call overridden ``train`` methods.
    """
    # Frozen TorchScript has no mode.
    parts = [part for part in parts_of(module) if hasattr(part, "training")]
    modes = [(submodule, submodule.training) for submodule in parts]
    graphs = [(part, part.graph) for part, mode in modes if mode and _has_two_graphs(part)]
    try:
        for submodule, _ in modes:
            submodule.training = False
        for part, _ in graphs:
            part.graph = part.eval_graph
        yield
    finally:
        for part, graph in graphs:
            part.graph = graph
        for submodule, mode in modes:
            submodule.training = mode


def _has_two_graphs(part: Any) -> bool:
    """Return whether a module was traced in both modes, such as torchvision's extractors."""
    return isinstance(part, GraphModule) and hasattr(part, "eval_graph")


@contextmanager
def unchanged_parameters(module: nn.Module) -> Iterator[None]:
    """Restore parameters that a forward pass writes to, such as weights that it normalizes.

    Every measurement needs a copy of the weights, because any can be the first at which they
    exceed a bound. Version counters cannot replace it: writes to ``weight.data``, the usual form
    of such bounds, and those of extensions do not change them. Nested measurements share the copy
    of the outermost. See :func:`~lightning_leaf.model.dense_copies.cheapest_place` for its costs.
    """
    if module in _GUARDED:
        yield
        return
    _GUARDED.add(module)
    try:
        parameters = parameters_of(parts_of(module))
        with unchanged_tensors(parameters, kept_on=cheapest_place(parameters)):
            yield
    finally:
        _GUARDED.discard(module)


_GUARDED: WeakSet[nn.Module] = WeakSet()


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Restore buffers that a forward pass changes even in evaluation mode (counters, queues)."""
    with unchanged_tensors(buffers_of(parts_of(module))):
        yield


@contextmanager
def silent_log(module: nn.Module) -> Iterator[None]:
    """Disable ``self.log`` of LightningModules: a measurement is not a training step."""
    silenced = (
        (vars(part), name, _log_nothing)
        for part in parts_of(module)
        if hasattr(type(part), "log_dict")
        for name in ("log", "log_dict")
    )
    with replaced(silenced):
        yield


def _log_nothing(*_: Any, **__: Any) -> None:
    """Replace ``LightningModule.log`` during a measurement."""
