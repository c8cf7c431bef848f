"""The trace of G for many classes, by one backward pass per draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_leaf.geometry.score_weights import ScoreWeights


@dataclass(frozen=True)
class TraceEstimate:
    """An unbiased estimate of tr G for every input of a batch.

    Attributes:
        value: Estimates, ``(B,)``, float64, in units of 1 / input².
        standard_error: Of the estimates, ``(B,)``; zero where every class was taken.
        draws: Backward passes that it took, for each input.
    """

    value: Tensor
    standard_error: Tensor
    draws: int


def estimate_trace(
    pullback: Callable[[Tensor], Tensor],  # (B, C) -> (B, d)
    log_probs: Tensor,  # (B, C)
    draws: int,
    generators: list[torch.Generator],
) -> TraceEstimate:
    r"""Tr G = Σ_y t_y with t_y = ‖Aᵀe_y‖² = p_y ‖∇log p_y‖², some of it exact and the rest sampled.

    A class counts about as much as its weight w_y = p_y (1 − p_y), because ∇log p_y is the mean of
    the contrasts ∇s_y − ∇s_j over the other classes. Half of the draws take the classes of the
    largest weights, each once. The others draw y from the rest with probability q_y ∝ w_y, and
    their mean of t_y / q_y estimates the rest's sum (Horvitz & Thompson 1952, stratified).

    Args:
        pullback: c ↦ Aᵀc for every input.
        log_probs: log p(y|x), float64.
        draws: Backward passes; with C or more, each class is taken once and nothing is estimated.
        generators: Of the draws, one for each input, on the CPU.
    """
    batch, classes = log_probs.shape
    exact = classes if draws >= classes else draws // 2
    weights = log_probs.exp() * ScoreWeights(log_probs).complement
    order = weights.argsort(dim=1, descending=True)
    value = log_probs.new_zeros(batch)
    for label in order[:, :exact].unbind(1):
        value = value + _share(pullback, label, log_probs)
    if exact == classes:
        return TraceEstimate(value, torch.zeros_like(value), classes)

    rest = order[:, exact:]  # (B, n)
    sampled = draws - exact
    # A rest that has underflowed altogether adds nothing, whichever of it is drawn.
    odds = weights.gather(1, rest).clamp_min(torch.finfo(torch.float64).tiny)
    odds = odds / odds.sum(1, keepdim=True)
    drawn = torch.stack(
        [
            torch.multinomial(row, sampled, replacement=True, generator=generator)
            for row, generator in zip(odds.cpu(), generators, strict=True)
        ]
    ).to(rest.device)
    samples = []
    for position in drawn.unbind(1):
        position = position.unsqueeze(1)
        share = _share(pullback, rest.gather(1, position).squeeze(1), log_probs)
        samples.append(share / odds.gather(1, position).squeeze(1))
    values = torch.stack(samples, dim=1)  # (B, sampled)
    error = values.std(1) / sampled**0.5
    return TraceEstimate(value + values.mean(1), error, draws)


def _share(pullback: Callable[[Tensor], Tensor], label: Tensor, log_probs: Tensor) -> Tensor:
    """t_y of one class of every input, (B,)."""
    one = torch.nn.functional.one_hot(label, log_probs.shape[1]).to(log_probs)
    return pullback(one).double().square().sum(1)
