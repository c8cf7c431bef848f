"""The kinds of effective rank, importable without PyTorch."""

from typing import Literal, get_args

RankKind = Literal["entropy", "stable", "participation", "threshold"]
RANK_KINDS: tuple[RankKind, ...] = get_args(RankKind)
