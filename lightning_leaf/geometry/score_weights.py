"""The C×C matrix that makes the factor A out of the logit Jacobian J, by its products."""

from __future__ import annotations

from torch import Tensor


class ScoreWeights:
    r"""W with A = W J: row i is √p_i (e_i − p)ᵀ, for every input of a batch.

    W y = √p ∘ (y − p·y) and Wᵀc = √p ∘ c − p (√p·c) take C operations instead of C². For a
    confident model 1 − p of the winner would round to zero, and with it the whole matrix: both
    are computed from the differences to the winner instead.

    Args:
        log_probs: log p(y|x), ``(B, C)``, float64.
    """

    def __init__(self, log_probs: Tensor) -> None:
        self._p = log_probs.exp().unsqueeze(-1)  # (B, C, 1)
        self._root = (0.5 * log_probs).exp().unsqueeze(-1)  # (B, C, 1)
        self._winner = log_probs.argmax(1)[:, None, None]  # (B, 1, 1)

    @property
    def null(self) -> Tensor:  # (B, C)
        """√p, the unit vector with Wᵀ√p = 0: Σ_i p_i ∇log p_i = 0."""
        return self._root.squeeze(-1)

    @property
    def complement(self) -> Tensor:  # (B, C)
        """1 − p, the winner's summed from the others."""
        p, winner = self._p.squeeze(-1), self._winner.squeeze(-1)
        others = p.scatter(1, winner, 0.0).sum(1, keepdim=True)
        return (1 - p).scatter(1, winner, others)

    def __matmul__(self, rows: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """W times rows, float64."""
        winner = self._winner.expand(-1, 1, rows.shape[-1])
        rows = rows.double()
        rows = rows - rows.gather(1, winner)
        return self._root * (rows - (self._p * rows).sum(1, keepdim=True))

    def transposed(self, columns: Tensor) -> Tensor:  # (B, C, n) -> (B, C, n)
        """Wᵀ times columns, float64; the entries of every column sum to zero."""
        winner = self._winner.expand(-1, 1, columns.shape[-1])
        weighted = self._root * columns.double()
        product = weighted - self._p * weighted.sum(1, keepdim=True)
        product = product.scatter(1, winner, 0.0)
        return product.scatter(1, winner, -product.sum(1, keepdim=True))
