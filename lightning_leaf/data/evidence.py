"""What the scores of a model mean, judged from the targets and the scores themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from lightning_leaf.data.batches import Examples


@dataclass(frozen=True)
class Judgement:
    """What scores mean.

    Attributes:
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.
        classes: Number of classes or labels.
        assumption: One sentence for the log: what is assumed, and why.
    """

    likelihood: Literal["categorical", "bernoulli"]
    classes: int
    assumption: str


def judge(
    examples: Examples,
    scores: Tensor,  # (B, C)
    *,
    likelihood: Literal["categorical", "bernoulli"] | None,
    labels_seen: Sequence[int] | None = None,
    explicit_forward: bool = False,
) -> Judgement:
    """Decide what the scores of a model mean.

    Args:
        examples: The examples whose scores are given.
        scores: Output of the model, ``(B, C)``; one column is the logit of a binary classifier.
        likelihood: The choice of the user, if there is one.
        labels_seen: Labels of more examples of the same data set.
        explicit_forward: Whether the user chose which part of the model computes the scores.

    Raises:
        LeafError: If the local data matrix of these scores has no meaning.
    """
    columns = scores.shape[1]
    return Judgement(
        likelihood or "categorical",
        max(2, columns),
        f"Scores are read as the logits of {max(2, columns)} exclusive classes.",
    )
