"""What to write to make a callback work, by the kind of error."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_leaf.data.batches import Examples
from lightning_leaf.data.inputs import INPUT_KEYS
from lightning_leaf.data.targets import LABEL_KEYS
from lightning_leaf.errors import LeafError, result_of, shown, type_name
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.memory import is_out_of_memory


@dataclass(frozen=True)
class Task:
    """What a callback was doing when an error occurred.

    Attributes:
        kind: Choosing examples, calling the module, or publishing results.
        text: The same for messages, such as ``"choosing the probe"``.
    """

    kind: Literal["choosing", "calling", "publishing"]
    text: str


def calling(module: nn.Module, forward: Forward | None, inputs: Tensor, origin: str = "") -> str:
    """Return how the module is called.

    Args:
        module: The module.
        forward: How the user says to call it.
        inputs: The inputs.
        origin: Where they come from: ``"validation"``, ``"training"`` or an empty string.

    Example:
        >>> import torch
        >>> calling(torch.nn.Linear(3, 2), None, torch.rand(2, 3), "validation")
        'calling Linear.forward with validation inputs of shape (2, 3)'
    """
    name = type_name(module)
    if forward is None:
        call = f"{name}.forward"
    elif isinstance(forward, str):
        call = f"forward={shown(forward)} of {name}"
    else:
        call = f"forward={_name_of(forward)} for {name}"
    return f"calling {call} with {origin and origin + ' '}inputs of shape {tuple(inputs.shape)}"


def _name_of(function: Any) -> str:
    name = result_of(getattr, function, "__name__")
    return name if type(name) is str else type_name(function)


POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def advice_for(
    error: Exception,
    task: Task,
    module: nn.Module,
    forward: Forward | None,
    batch: Any,
    inputs_argument: str,
) -> str:
    """Return what to write after an error; empty if it is unknown or the error itself says it.

    Args:
        error: The error.
        task: What was being done.
        module: The module that was measured.
        forward: How the user says to call it.
        batch: The current training batch, if there is one.
        inputs_argument: The argument with which inputs can be passed, such as
            ``"probe=(inputs, labels)"``.
    """
    if issubclass(type(error), LeafError) or task.kind == "publishing":
        return ""
    if is_out_of_memory(error):
        return "Memory does not suffice for a single input: measure smaller inputs."
    if task.kind == "choosing":
        return f"Pass the inputs themselves: {inputs_argument}."
    if forward is not None:
        return ""
    # The module's signature or the keys of the batch may raise an error.
    return result_of(_with_forward, error, module, batch) or ""


def unused_arguments(module: nn.Module, examples: Examples) -> str:
    """Return how to pass optional arguments of ``forward`` that the batch has; empty without any.

    Args:
        module: The module, which is called with the inputs only.
        examples: The inputs, and one row of each tensor of their batch.
    """
    try:
        _, *others = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # no arguments, or TorchScript
        return ""
    rows = examples.first_rows
    optional = [each.name for each in others if each.default is not each.empty]
    names = [name for name in optional if name in rows and name not in LABEL_KEYS]
    if not names:
        return ""
    shape = examples.inputs.shape[1:]
    inputs = next((key for key in rows if key not in names and rows[key].shape[1:] == shape), "x")
    label = next((key for key in LABEL_KEYS if key in rows), "label")
    end = shape.numel()
    parts, arguments = [f"batch[{inputs!r}].flatten(1)"], [_slice(0, shape)]
    for name in names:
        size = rows[name].numel()
        parts.append(f"batch[{name!r}].reshape(-1, {size})")
        arguments.append(f"{name}={_slice(end, rows[name].shape[1:])}{_as_type(rows[name])}")
        end += size
    plural = "s" if len(names) > 1 else ""
    return (
        f"{type(module).__name__}.forward is called without its optional argument{plural} "
        f"{', '.join(map(repr, names))}, which the batch has. If the scores depend on it, pass "
        f"batch=lambda batch: (torch.cat([{', '.join(parts)}], 1), batch[{label!r}]), "
        f"forward=lambda module, x: module({', '.join(arguments)})."
    )


def _slice(start: int, shape: tuple[int, ...]) -> str:
    if not shape:
        return f"x[:, {start}]"
    columns = f"x[:, {start or ''}:{start + math.prod(shape)}]"
    return columns if len(shape) == 1 else f"{columns}.unflatten(1, {tuple(shape)})"


def _as_type(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return ""
    return ".bool()" if tensor.dtype == torch.bool else ".long()"


def _with_keywords(keywords: list[str], batch: Any) -> str:
    if len(keywords) == 1:
        return f"Say how to call it: forward=lambda module, x: module({keywords[0]}=x)."
    parts = ", ".join(f"{name}=x[:, {i}]" for i, name in enumerate(keywords))
    keys = batch.keys() if isinstance(batch, Mapping) else ()
    names = keywords if all(name in keys for name in keywords) else []
    found = ", ".join(f"batch[{name!r}]" for name in names) or f"batch[:{len(keywords)}]"
    inputs = f"[{found}]" if names else found
    label = next((f"batch[{key!r}]" for key in LABEL_KEYS if key in keys), "labels")
    return (
        "If its inputs have the same shape, stack them: "
        f"batch=lambda batch: (torch.stack({inputs}, 1), {label}), "
        f"forward=lambda module, x: module({parts})."
    )


def _with_forward(error: Exception, module: nn.Module, batch: Any) -> str:
    parameters = inspect.signature(module.forward).parameters.values()
    required = [each for each in parameters if each.default is each.empty]
    positional = [each for each in required if each.kind in POSITIONAL]
    keywords = [each.name for each in required if each.kind is each.KEYWORD_ONLY]
    if keywords and not positional:
        return _with_keywords(keywords, batch)
    if len(positional) > 1:
        count = len(positional)
        parts = ", ".join(f"x[:, {i}]" for i in range(count))
        return (
            "If its inputs have the same shape, stack them: "
            f"batch=lambda batch: (torch.stack(batch[:{count}], 1), batch[{count}]), "
            f"forward=lambda module, x: module({parts})."
        )
    if isinstance(error, RuntimeError):
        return (
            "If these are not its inputs, say where they are in a batch: batch=lambda batch: "
            "(inputs, labels)."
        )
    if isinstance(batch, Mapping):
        key = next((key for key in (*INPUT_KEYS, *batch) if key in batch), "image")
        return f"If it takes a whole batch: forward=lambda module, x: module({{{key!r}: x}})."
    if isinstance(batch, (list, tuple)):
        return "If it takes a whole batch: forward=lambda module, x: module((x, None))."
    return "Say how to call it: forward=lambda module, x: module(x)."
