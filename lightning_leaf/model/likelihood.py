"""What scores mean: logits of exclusive classes, or of independent labels."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_leaf._arguments import one_of

Likelihood: TypeAlias = Literal["categorical", "bernoulli"]
"""``"categorical"``: p = softmax(s). ``"bernoulli"``: a probability σ(s_k) for each label k."""


def checked_likelihood(likelihood: str | None) -> Likelihood:
    """Return the likelihood, ``"categorical"`` for None.

    Raises:
        LeafError: If there is no such likelihood.
    """
    if likelihood is None:
        return "categorical"
    return one_of(likelihood, get_args(Likelihood), "likelihood")  # type: ignore[return-value]


def log_probabilities(scores: Tensor, likelihood: Likelihood) -> Tensor:  # (B, C) -> (B, C)
    """Return log p in float64: in float32 confident probabilities round to one and zero.

    Args:
        scores: The scores s of a classifier.
        likelihood: ``"categorical"`` for log softmax(s), the log-probabilities of C exclusive
            classes; ``"bernoulli"`` for log σ(s_k), those of C independent labels.

    Example:
        >>> import torch
        >>> log_probabilities(torch.zeros(1, 4), "categorical").exp()
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
        >>> log_probabilities(torch.zeros(1, 4), "bernoulli").exp()
        tensor([[0.5000, 0.5000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    scores = scores.detach().double()
    return logsigmoid(scores) if likelihood == "bernoulli" else scores.log_softmax(-1)
