"""Find a ``forward=`` with which a model returns scores, to be named in an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_leaf.model.forward import forward_function
from lightning_leaf.model.forward_pass import ForwardPass

HEADS = ("classifier", "head", "fc", "heads", "linear", "logits", "output")
"""Usual names of the last layer, or of the part that returns scores."""

MOST = 24
"""Sub-modules that are tried."""


def suggested_forward(run: ForwardPass, x: Tensor, classes: int | None = None) -> str:
    """Return a sentence that names a ``forward=`` which gives scores; empty if none is found.

    Methods with "logits" in their name, sub-modules, and sub-modules on the output of the model
    are tried on the inputs.

    Args:
        run: The forward pass that gives no scores.
        x: One or two prepared inputs.
        classes: Expected number of classes, if known.
    """
    if not isinstance(run.model, nn.Module) or run.tensors.sharded:
        return ""
    for text, function in _candidates(run.model):
        count = _number_of_scores(replace(run, function=function, classes=classes), x)
        if count == classes or (classes is None and count > 1):
            return f"For example, {text} returns {count} scores for each input."
    return ""


Function = Callable[[Any, Tensor], Any]


def _candidates(model: nn.Module) -> Iterator[tuple[str, Function]]:
    for name in dir(type(model)):
        is_method = callable(getattr(type(model), name, None))
        if is_method and "logits" in name and not name.startswith("_"):
            yield f"forward={name!r}", forward_function(model, name)
    children = dict(model.named_children())
    heads = [name for name in HEADS if name in children]
    heads += [name for name, part in children.items() if isinstance(part, nn.Linear)]
    for name in dict.fromkeys(heads):
        yield f"forward=lambda model, x: model.{name}(model(x))", _on_output(name)
    for name in list(dict.fromkeys((*heads, *children)))[:MOST]:
        yield f"forward={name!r}", forward_function(model, name)


def _on_output(name: str) -> Function:
    return lambda model, x: model.get_submodule(name)(model(x))


def _number_of_scores(run: ForwardPass, x: Tensor) -> int:
    """Return the number of scores for each input; 0 if the output is unusable."""
    try:
        with torch.no_grad():
            return run(x.clone()).shape[1]
    except Exception:
        return 0
