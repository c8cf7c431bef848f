"""Effective ranks: the number of directions over which a spectrum is spread."""

import torch
from torch import Tensor

from lightning_leaf._arguments import listed, one_of
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.rank_kinds import RANK_KINDS, RankKind, Ranks


def effective_rank(
    eigenvalues: Tensor,  # (..., C)
    kind: RankKind = "entropy",
    *,
    rtol: float = 1e-6,
    multiplicity: Tensor | None = None,  # (..., C)
) -> Tensor:  # (...,)
    r"""Return the effective rank of positive semi-definite matrices from their eigenvalues λ.

    =================== =================================== ============================
    ``"entropy"``       exp(−Σ q_i log q_i), q = λ / Σλ     Roy & Vetterli 2007
    ``"stable"``        Σλ / λ_max                          Rudelson & Vershynin 2007
    ``"participation"`` (Σλ)² / Σλ²                         participation ratio
    ``"threshold"``     #{λ_i > rtol · λ_max}               numerical rank
    =================== =================================== ============================

    Args:
        eigenvalues: Eigenvalues along the last axis, in any order, shape ``(..., C)``. Negative
            ones, which rounding can cause, count as zero.
        kind: One of the four definitions above.
        rtol: Relative threshold of ``kind="threshold"``; not used by the other kinds.
        multiplicity: Number of times that each eigenvalue occurs, the same shape. Fractions are
            allowed, for estimated densities of eigenvalues. Default: once.

    Returns:
        One rank for each spectrum, shape ``(...,)``, float64, between 1 and C; 0 for a spectrum
        of zeros, NaN for a spectrum that contains NaN or infinity.

    Raises:
        LeafError: If ``kind`` is unknown or there is no axis of eigenvalues.

    Example:
        >>> import torch
        >>> f"{effective_rank(torch.tensor([1.0, 1.0, 1.0, 0.0])).item():.6f}"
        '3.000000'
        >>> effective_rank(torch.tensor([4.0, 1.0, 1.0]), kind="stable").item()
        1.5
    """
    one_of(kind, RANK_KINDS, "kind")
    if eigenvalues.ndim == 0 or eigenvalues.shape[-1] == 0:
        raise LeafError(
            "effective_rank expects eigenvalues along the last axis, shape (..., C) with C ≥ 1; "
            f"got shape {tuple(eigenvalues.shape)}."
        )
    spectrum = eigenvalues.double()
    count = torch.ones_like(spectrum) if multiplicity is None else multiplicity.double()
    finite = spectrum.isfinite().all(-1)
    spectrum = spectrum.clamp_min(0)
    largest = spectrum.amax(-1, keepdim=True)
    # Ranks do not depend on the scale. Dividing first prevents overflow and underflow of λ².
    scaled = spectrum / torch.where(largest > 0, largest, 1)
    total = (count * scaled).sum(-1)
    if kind == "entropy":
        q = scaled / torch.where(total > 0, total, 1).unsqueeze(-1)
        rank = (count * torch.special.entr(q)).sum(-1).exp()
    elif kind == "stable":
        rank = total
    elif kind == "participation":
        rank = total.square() / torch.where(total > 0, (count * scaled.square()).sum(-1), 1)
    else:
        rank = (count * (scaled > rtol)).sum(-1)
    rank = torch.where(largest.squeeze(-1) > 0, rank, 0)
    return torch.where(finite, rank, torch.nan)


def checked_ranks(ranks: Ranks) -> tuple[RankKind, ...]:
    """Return the kinds of effective ranks, given as one name or several, as a tuple.

    Raises:
        LeafError: If one is unknown.
    """
    several = [ranks] if isinstance(ranks, str) else listed(ranks, "ranks", 100)
    kinds: tuple[RankKind, ...] = tuple(several)
    if any(kind not in RANK_KINDS for kind in kinds):
        raise LeafError(
            f"ranks expects one or several of {', '.join(map(repr, RANK_KINDS))}; got "
            f"{shown(ranks)}."
        )
    return kinds
