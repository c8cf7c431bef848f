"""Products with the C×C matrix W that maps the logit Jacobian J to the factor A = W J."""

from __future__ import annotations

from torch import Tensor


class ScoreWeights:
    r"""W with A = W J: row i is √p_i (e_i − p)ᵀ, for every input of a batch.

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
    def null(self) -> Tensor:  # (B, C)
        """The unit vector √p, with Wᵀ√p = 0, because Σ_i p_i ∇log p_i = 0."""
        return self._root.squeeze(-1)

    @property
    def complement(self) -> Tensor:  # (B, C)
        """The vector 1 − p. Its entry of the most probable class is the sum over the others."""
        p, top = self._p.squeeze(-1), self._top.squeeze(-1)
        others = p.scatter(1, top, 0.0).sum(1, keepdim=True)
        return (1 - p).scatter(1, top, others)

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
