"""Whether scores also change in ways that autograd does not find."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from lightning_leaf.errors import of_signal_handler
from lightning_leaf.model.dependence import NEAR, not_differentiable, random_direction, used_reasons
from lightning_leaf.model.forward_pass import ForwardPass
from lightning_leaf.model.memory import is_out_of_memory

LOGGER = logging.getLogger("lightning_leaf")

DIRECTIONS = 2
LARGEST_DIFFERENCE = 0.3
"""Relative difference between derivatives and finite differences from which on a warning is logged.

It was below 0.2 for torchvision's models and small networks, and above 0.5 where half of a model's
features were detached.
"""
_warned: WeakSet[Any] = WeakSet()


def check_all_derivatives(run: ForwardPass, x: Tensor) -> None:
    """Compare the derivatives of all scores with finite differences in a few directions.

    For models that use an operation which ends the graph of autograd, but not everywhere:
    ``head(torch.cat([side(x), backbone(x).detach()], 1))``. Models without second derivatives are
    not checked. A difference can be intended (straight-through estimators), so it is logged, once
    for a model. The finite difference is central at a point beside x, because at x itself there can
    be ties of max-pooling.

    Args:
        run: The forward pass.
        x: One or two prepared inputs.

    Raises:
        LeafError: If the score of a class whose derivatives are zero changes with the input.
    """
    errors, sizes = [], []
    hidden: Tensor | bool = True  # (C,)
    changes = torch.zeros(())  # (C,)
    with torch.no_grad():
        scores = run(x.clone())
        noise = (run(x.clone()) - scores).abs().max()  # of models that draw random numbers
    for seed in range(DIRECTIONS):
        step = NEAR * random_direction(x, seed)
        expected = _along(run, x + step, step)
        if expected is None:
            return
        with torch.no_grad():
            change = (run(x + 2 * step) - scores) / 2
        hidden = (expected == 0).all(0) & hidden
        changes = torch.maximum(changes.to(change), change.abs().amax(0))
        errors.append(_centred(change - expected))
        sizes.append(torch.maximum(_centred(change).norm(), _centred(expected).norm()))
    if bool((changes > 4 * noise)[hidden].any()):
        raise not_differentiable(run, "some of their derivatives are zero", x)
    size = torch.stack(sizes).norm()
    rounding = 1e2 * torch.finfo(x.dtype).eps * scores.abs().max() * scores.numel() ** 0.5
    difference = float(torch.stack(errors).norm() / size)
    if difference > LARGEST_DIFFERENCE and bool(size > rounding) and bool(size > 100 * noise):
        _warn_once(run, difference, x)


def _warn_once(run: ForwardPass, difference: float, x: Tensor) -> None:
    if run.model in _warned:
        return
    _warned.add(run.model)
    LOGGER.warning(
        "The scores of %s change with its input by other amounts than their derivatives say "
        "(relative difference %.0f %%): its forward pass uses %s. Results of these operations "
        "count as constants. If they are not, pass forward= a function (model, inputs) -> scores "
        "without them.",
        type(run.model).__name__,
        100 * difference,
        used_reasons(run, x),
    )


def _along(run: ForwardPass, x: Tensor, v: Tensor) -> Tensor | None:  # (B, C)
    """Return the derivatives of the scores in the direction v, from two backward passes."""
    probe = x.clone().requires_grad_()
    scores = run(probe.clone())
    u = torch.ones_like(scores, requires_grad=True)
    try:
        (pulled,) = torch.autograd.grad(scores, probe, u, create_graph=True)
        (derivatives,) = torch.autograd.grad(pulled, u, v, materialize_grads=True)
    except Exception as error:  # no second derivative
        if is_out_of_memory(error) or of_signal_handler(error) is not None:
            raise
        return None
    return derivatives.detach()


def _centred(scores: Tensor) -> Tensor:  # (B, C)
    """Return the part that changes p: softmax ignores a shift such as ``s - s.max().detach()``."""
    return scores - scores.mean(1, keepdim=True) if scores.shape[1] > 1 else scores
