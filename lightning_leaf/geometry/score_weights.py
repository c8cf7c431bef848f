"""Products with the C×C matrix W that maps the logit Jacobian J to the factor A = W J."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from lightning_leaf.geometry.labels import log_complement
from lightning_leaf.model.likelihood import Likelihood


class ScoreWeights(Protocol):
    r"""W with A = W J and G = AᵀA, for every input of a batch.

    :class:`CategoricalWeights` and :class:`BernoulliWeights` implement it, see
    :func:`score_weights`.
    """

    @property
    def null(self) -> Tensor:  # (B, C, n)
        """An orthonormal basis of the kernel of Wᵀ, and so of the kernel of K = AAᵀ."""

    @property
    def variances(self) -> Tensor:  # (B, C)
        """The variance p (1 − p) of each class or label, float64."""

    def __matmul__(self, rows: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Return W times rows, float64."""

    def transposed(self, columns: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Return Wᵀ times columns, float64."""


def score_weights(log_probs: Tensor, likelihood: Likelihood) -> ScoreWeights:
    """Return W for log p, ``(B, C)``, float64."""
    return _WEIGHTS[likelihood](log_probs)


class CategoricalWeights:
    r"""W of exclusive classes: row i is √p_i (e_i − p)ᵀ, so that WᵀW = diag p − p pᵀ.

    W y = √p ∘ (y − p·y) and Wᵀc = √p ∘ c − p (√p·c) take C operations instead of C². For a
    confident model, 1 − p of the most probable class would round to zero, and so would all of W.
    Both products are therefore computed from the differences to the most probable class.

    Args:
        log_probs: log p(y|x), ``(B, C)``, float64.
    """

    def __init__(self, log_probs: Tensor) -> None:
        self._p = log_probs.exp().unsqueeze(-1)  # (B, C, 1)
        self._root = (0.5 * log_probs).exp().unsqueeze(-1)  # (B, C, 1)
        self._top = log_probs.argmax(1)[:, None, None]  # (B, 1, 1)

    @property
    def null(self) -> Tensor:  # (B, C, 1)
        """The unit vector √p, with Wᵀ√p = 0, because Σ_i p_i ∇log p_i = 0."""
        return self._root

    @property
    def variances(self) -> Tensor:  # (B, C)
        """The variances p (1 − p). 1 − p of the most probable class is the sum over the others."""
        p, top = self._p.squeeze(-1), self._top.squeeze(-1)
        others = p.scatter(1, top, 0.0).sum(1, keepdim=True)
        return p * (1 - p).scatter(1, top, others)

    def __matmul__(self, rows: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Return W times rows, float64."""
        top = self._top.expand(-1, 1, rows.shape[-1])
        rows = rows.double()
        rows = rows - rows.gather(1, top)
        return self._root * (rows - (self._p * rows).sum(1, keepdim=True))

    def transposed(self, columns: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Return Wᵀ times columns, float64. The entries of each result column sum to zero."""
        top = self._top.expand(-1, 1, columns.shape[-1])
        weighted = self._root * columns.double()
        product = weighted - self._p * weighted.sum(1, keepdim=True)
        product = product.scatter(1, top, 0.0)
        return product.scatter(1, top, -product.sum(1, keepdim=True))


class BernoulliWeights:
    r"""W of independent labels: the diagonal matrix of √(p (1 − p)).

    Args:
        log_probs: log p_k(x) of each label, ``(B, C)``, float64.
    """

    def __init__(self, log_probs: Tensor) -> None:
        self._set_log_variances(log_probs + log_complement(log_probs))

    @classmethod
    def of_log_variances(cls, log_variances: Tensor) -> BernoulliWeights:  # (B, C)
        """Return the diagonal matrix of the roots of any variances."""
        weights = cls.__new__(cls)
        weights._set_log_variances(log_variances)
        return weights

    def _set_log_variances(self, log_variances: Tensor) -> None:
        self._log_variances = log_variances
        self._deviations = (0.5 * log_variances).exp().unsqueeze(-1)  # (B, C, 1)

    @property
    def null(self) -> Tensor:  # (B, C, 0)
        """No vector: no combination of labels is without influence for every J."""
        return self._deviations[..., :0]

    @property
    def variances(self) -> Tensor:  # (B, C)
        """The variances p (1 − p)."""
        return self._log_variances.exp()

    def __matmul__(self, rows: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Return W times rows, float64."""
        return self._deviations * rows.double()

    def transposed(self, columns: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Return Wᵀ times columns, float64. W is symmetric."""
        return self @ columns


_WEIGHTS: dict[Likelihood, type[CategoricalWeights | BernoulliWeights]] = {
    "categorical": CategoricalWeights,
    "bernoulli": BernoulliWeights,
}
