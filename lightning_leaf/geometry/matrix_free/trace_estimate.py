"""The trace of G for many classes, estimated by one backward pass per draw."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_leaf.geometry.estimates import TraceEstimate


def estimate_trace(
    pullback: Callable[[Tensor], Tensor],  # (B, C) -> (B, d)
    variances: Tensor,  # (B, C)
    draws: int,
    generators: list[torch.Generator],
) -> TraceEstimate:
    r"""Estimate tr G = Σ_y t_y with t_y = ‖Aᵀe_y‖² from part of the classes or labels.

    t_y is roughly proportional to the variance w_y = p_y (1 − p_y). Exclusive classes:
    t_y = p_y ‖∇log p_y‖², and ∇log p_y is 1 − p_y times a mean of the contrasts ∇s_y − ∇s_j over
    the other classes. Independent labels: t_y = w_y ‖∇s_y‖². Half of the draws take the classes of
    the largest variances, each once. The others draw y from the remaining classes with probability
    q_y ∝ w_y. The mean of t_y / q_y over these draws estimates the sum over the remaining classes
    (Horvitz & Thompson 1952, stratified).

    Args:
        pullback: c ↦ Aᵀc for every input.
        variances: p (1 − p) of every class or label, float64.
        draws: Number of backward passes. With C or more, each class is taken once and the trace is
            exact.
        generators: Random number generators, one for each input, on the CPU.
    """
    batch, classes = variances.shape
    exact = classes if draws >= classes else draws // 2
    order = variances.argsort(dim=1, descending=True)
    value = variances.new_zeros(batch)
    for label in order[:, :exact].unbind(1):
        value = value + _term(pullback, label, variances)
    if exact == classes:
        return TraceEstimate(value, torch.zeros_like(value), classes)

    remaining = order[:, exact:]  # (B, n)
    sampled = draws - exact
    # If all remaining variances underflow, their terms are zero and any distribution will do.
    q = variances.gather(1, remaining).clamp_min(torch.finfo(torch.float64).tiny)
    q = q / q.sum(1, keepdim=True)
    drawn = torch.stack(
        [
            torch.multinomial(row, sampled, replacement=True, generator=generator)
            for row, generator in zip(q.cpu(), generators, strict=True)
        ]
    ).to(remaining.device)
    samples = []
    for position in drawn.unbind(1):
        position = position.unsqueeze(1)
        term = _term(pullback, remaining.gather(1, position).squeeze(1), variances)
        samples.append(term / q.gather(1, position).squeeze(1))
    values = torch.stack(samples, dim=1)  # (B, sampled)
    error = values.std(1) / sampled**0.5
    return TraceEstimate(value + values.mean(1), error, draws)


def _term(pullback: Callable[[Tensor], Tensor], label: Tensor, variances: Tensor) -> Tensor:
    """Return t_y of one class of every input, (B,)."""
    one_hot = torch.nn.functional.one_hot(label, variances.shape[1]).to(variances)
    return pullback(one_hot).double().square().sum(1)
