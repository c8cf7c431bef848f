"""Find the forward pass whose derivatives are those of the function x → p(y|x)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_leaf.errors import LeafError, message_of
from lightning_leaf.model.dependence import REASONS, require_zero_derivative
from lightning_leaf.model.forward_pass import ForwardPass, weighted
from lightning_leaf.model.memory import allocated_bytes, is_out_of_memory
from lightning_leaf.model.partial_dependence import check_all_derivatives
from lightning_leaf.model.recurrent import RECURRENT
from lightning_leaf.model.watch import Watch
from lightning_leaf.model.ways import first_that_runs, in_one_line, is_final

AGREEMENT = 1e-4
"""Relative difference of two gradients that count as the same."""

STEP = 1e-2
"""Finite difference, relative to the norm of an input."""


class InputGradient(NamedTuple):
    """What is known of the derivatives with respect to one input.

    Attributes:
        is_not_zero: Whether one of them is not zero, or is NaN.
        has_numbers: Whether one of them is neither zero nor NaN.
        is_finite: Whether all of them are finite.
    """

    is_not_zero: bool
    has_numbers: bool
    is_finite: bool


@dataclass(frozen=True)
class Trial:
    """The first derivatives of a forward pass.

    Attributes:
        run: The forward pass.
        scores: Its scores, with their graph, ``(B, C)``.
        gradient: Derivatives of a weighted sum of the last input's scores with respect to all
            inputs, ``(B, ...)``; None if autograd finds no way from the inputs to the scores.
        bytes_per_input: Size of the activations that the graph keeps for one input; None on the
            CPU, and where it is unknown.
    """

    run: ForwardPass
    scores: Tensor
    gradient: Tensor | None
    bytes_per_input: int | None = None

    @cached_property
    def inputs(self) -> list[InputGradient]:
        """What is known of the derivatives with respect to each input.

        The host waits once for the device, here.
        """
        if self.gradient is None:
            return []
        rows = self.gradient.detach().flatten(1)
        known = torch.stack(
            [
                (rows != 0).any(1),
                (rows.nan_to_num() != 0).any(1),
                rows.isfinite().all(1),
            ]
        )
        return [InputGradient(*each) for each in zip(*known.tolist(), strict=True)]

    @property
    def shows_dependence(self) -> bool:
        """Whether the gradient is not zero. NaN is not zero."""
        return any(each.is_not_zero for each in self.inputs)


def find_forward_pass(ways: Sequence[ForwardPass], x: Tensor) -> Trial:
    """Return the first forward pass that runs in full precision and can be differentiated.

    For most models this takes one forward and one backward pass, in the first way. Others need
    further trials: if computations in half precision or ``torch.no_grad()`` blocks are seen in the
    forward pass, or if the derivatives are zero.

    Args:
        ways: Forward passes to try, in this order.
        x: One or two prepared inputs.

    Raises:
        LeafError: If the scores change with the input, but their derivatives are missing.
    """
    watch = None if ways[0].tensors.sharded or ways[0].through_no_grad else Watch()
    run, trial = first_that_runs(ways, lambda run: derivatives(run, x, watch))
    if watch is not None and watch.names & RECURRENT:
        run = replace(run, recurrent=True)
        trial = replace(trial, run=run)
    if watch is not None and watch.half and not (run.precision.full or run.precision.coarse):
        full = replace(run, precision=replace(run.precision, full=True))
        trial = _attempt(full, x) or trial
    if watch is not None and watch.no_grad:
        through = _attempt(replace(trial.run, through_no_grad=True), x)
        trial = trial if through is None else _better(trial, through, x)
    if not trial.shows_dependence:
        require_zero_derivative(trial.run, trial.scores, trial.gradient, x)
    elif watch is not None and watch.names & REASONS.keys():
        check_all_derivatives(trial.run, x)
    return trial


def derivatives(run: ForwardPass, x: Tensor, watch: Watch | None = None) -> Trial:
    """Run one forward and one backward pass.

    Raises:
        LeafError: If PyTorch cannot differentiate an operation of the model.
    """
    probe = x.clone().requires_grad_()
    before = _allocated_before(run)
    try:
        # A first layer that works in place must not modify the leaf tensor.
        scores = run(probe.clone(), watch)
    except RuntimeError as error:
        if "nference tensor" in message_of(error):
            raise LeafError(
                "The classifier computes under torch.inference_mode(), which cannot be "
                "differentiated. Use torch.no_grad() instead, which can."
            ) from error
        raise
    size = _bytes_per_input(run, before, len(x))
    if not scores.requires_grad:
        return Trial(run, scores, None, size)
    try:
        (gradient,) = torch.autograd.grad(weighted(scores)[-1], probe, allow_unused=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise LeafError(
            "The classifier cannot be differentiated with respect to its input: "
            f"{in_one_line(error)}"
        ) from error
    return Trial(run, scores, gradient, size)


def _allocated_before(run: ForwardPass) -> int | None:
    """Return how much memory is allocated, after what the first forward pass of all would add."""
    if allocated_bytes(run.device) is None:
        return None
    if run.precision.copies:
        run.tensors.full_copies()
    # The first product of matrices allocates megabytes of workspace.
    one = torch.ones(1, 1, device=run.device)
    one.mm(one)
    return allocated_bytes(run.device)


def _bytes_per_input(run: ForwardPass, before: int | None, inputs: int) -> int | None:
    after = None if before is None else allocated_bytes(run.device)
    return None if after is None or before is None else max(0, after - before) // inputs


def _attempt(run: ForwardPass, x: Tensor) -> Trial | None:
    """Return the derivatives, or None if the model does not run in this way."""
    try:
        return derivatives(run, x)
    except Exception as error:
        if is_final(error):
            raise
        return None


def _better(plain: Trial, through: Trial, x: Tensor) -> Trial:
    """Return the trial whose derivatives are those of the function.

    Usually these are the derivatives through ``no_grad``. Straight-through estimators are the
    exception: operations whose derivative is zero are put under ``no_grad`` on purpose. They are
    recognized by a zero derivative, or by a finite difference.
    """
    if plain.gradient is None or not plain.shows_dependence:
        return plain if through.gradient is None else through
    if through.gradient is None or not through.shows_dependence:
        return plain
    difference = (through.gradient - plain.gradient)[-1].double()
    norm = torch.linalg.vector_norm(difference)
    if not bool(norm > AGREEMENT * torch.linalg.vector_norm(through.gradient[-1].double())):
        return plain
    # A finite difference along the direction in which the two disagree most.
    direction = (difference / norm).to(x.dtype)
    size = torch.linalg.vector_norm(x[-1]) or torch.linalg.vector_norm(torch.ones_like(x[-1]))
    with torch.no_grad():
        ahead, behind = (
            weighted(plain.run(torch.cat([x[:-1], x[-1:] + sign * STEP * size * direction])))[-1]
            for sign in (1, -1)
        )
    slope = (ahead - behind) / (2 * STEP * size)
    errors = [
        abs(float(slope - (trial.gradient[-1] * direction).sum()))  # type: ignore[index]
        for trial in (plain, through)
    ]
    return plain if errors[0] <= errors[1] else through
