"""The trace of G for many classes, estimated by one backward pass per draw."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_leaf.geometry.estimates import TraceEstimate
from lightning_leaf.geometry.score_weights import ScoreWeights


def estimate_trace(
    pullback: Callable[[Tensor], Tensor],  # (B, C) -> (B, d)
    log_probs: Tensor,  # (B, C)
    draws: int,
    generators: list[torch.Generator],
) -> TraceEstimate:
    r"""Estimate tr G = Σ_y t_y with t_y = ‖Aᵀe_y‖² = p_y ‖∇log p_y‖² from part of the classes.

    t_y is roughly proportional to the weight w_y = p_y (1 − p_y), because ∇log p_y is 1 − p_y times
    a mean of the contrasts ∇s_y − ∇s_j over the other classes. Half of the draws take the classes
    of the largest weights, each once. The others draw y from the remaining classes with probability
    q_y ∝ w_y. The mean of t_y / q_y over these draws estimates the sum over the remaining classes
    (Horvitz & Thompson 1952, stratified).

    Args:
        pullback: c ↦ Aᵀc for every input.
        log_probs: log p(y|x), float64.
        draws: Number of backward passes. With C or more, each class is taken once and the trace is
            exact.
        generators: Random number generators, one for each input, on the CPU.
    """
    batch, classes = log_probs.shape
    exact = classes if draws >= classes else draws // 2
    weights = log_probs.exp() * ScoreWeights(log_probs).complement
    order = weights.argsort(dim=1, descending=True)
    value = log_probs.new_zeros(batch)
    for label in order[:, :exact].unbind(1):
        value = value + _term(pullback, label, log_probs)
    if exact == classes:
        return TraceEstimate(value, torch.zeros_like(value), classes)

    remaining = order[:, exact:]  # (B, n)
    sampled = draws - exact
    # If all remaining weights underflow, their terms are zero and any distribution will do.
    q = weights.gather(1, remaining).clamp_min(torch.finfo(torch.float64).tiny)
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
        term = _term(pullback, remaining.gather(1, position).squeeze(1), log_probs)
        samples.append(term / q.gather(1, position).squeeze(1))
    values = torch.stack(samples, dim=1)  # (B, sampled)
    error = values.std(1) / sampled**0.5
    return TraceEstimate(value + values.mean(1), error, draws)


def _term(pullback: Callable[[Tensor], Tensor], label: Tensor, log_probs: Tensor) -> Tensor:
    """Return t_y of one class of every input, (B,)."""
    one_hot = torch.nn.functional.one_hot(label, log_probs.shape[1]).to(log_probs)
    return pullback(one_hot).double().square().sum(1)
