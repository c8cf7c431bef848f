"""The kinds of effective rank, importable without PyTorch."""

from collections.abc import Sequence
from typing import Literal, get_args

RankKind = Literal["entropy", "stable", "participation", "threshold"]
RANK_KINDS: tuple[RankKind, ...] = get_args(RankKind)

Ranks = RankKind | Sequence[RankKind]
"""One kind of effective rank, or several."""
