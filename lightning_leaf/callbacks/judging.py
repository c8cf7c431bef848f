"""What the scores of a module mean, judged from its data and the scores themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_leaf.callbacks.example_pool import labels_seen
from lightning_leaf.data.batches import Examples, Split
from lightning_leaf.data.evidence import Judgement, judge
from lightning_leaf.model.classifier import Classifier, finite_rows
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.quiet import quiet
from lightning_leaf.trainer.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

JUDGED_INPUTS = 32
"""Largest number of inputs whose scores are judged."""
SEED = 0
"""Seed of the sample of labels."""


def judge_scores(
    trainer: Trainer,
    module: LightningModule,
    examples: Examples,
    processes: Processes,
    chunks: FittingChunks,
    *,
    forward: Forward | None,
    split: Split | None,
    likelihood: Likelihood | None,
) -> Judgement | None:
    """Return what the scores of a module mean; all processes must call this function.

    Args:
        trainer: The trainer, whose data sets are read.
        module: The module.
        examples: Examples that will be measured.
        processes: The processes of the training.
        chunks: Inputs per forward pass.
        forward: How to call the module.
        split: Where inputs and labels are in a batch.
        likelihood: The choice of the user, if there is one.

    Returns:
        The judgement of rank zero; None if the scores of no example are finite.

    Raises:
        LeafError: If the local data matrix of the scores has no meaning.
    """
    examples = examples.select(range(min(len(examples), JUDGED_INPUTS)))
    with quiet(module):  # reading a data set may draw random numbers
        seen = processes.on_rank_zero(lambda: labels_seen(trainer, split, SEED))
    # With "bernoulli" a single column stays a single column.
    with processes.measuring(
        module, forward=forward, likelihood="bernoulli", classes=_expected_classes(examples, seen)
    ) as classifier:
        scores = processes.run(
            lambda: chunks.run(lambda size: _scores(classifier, examples.inputs, size))
        )

    def judgement() -> Judgement | None:
        finite = finite_rows(scores).nonzero().flatten().tolist()
        if not finite:
            return None
        return judge(
            examples.select(finite),
            scores[finite],
            likelihood=likelihood,
            labels_seen=seen,
            explicit_forward=forward is not None,
        )

    return processes.on_rank_zero(judgement)


def _expected_classes(examples: Examples, seen: tuple[int, ...] | None) -> int | None:
    """Return the number of classes that the data set suggests, if it suggests one."""
    if examples.class_names is not None:
        return len(examples.class_names)
    if examples.target_columns is not None and examples.target_columns > 1:
        return examples.target_columns
    labels = [*(seen or ()), *(examples.labels or ())]
    return max(2, 1 + max(labels)) if labels else None


def _scores(classifier: Classifier, inputs: Tensor, size: int) -> Tensor:  # -> (B, C)
    with torch.no_grad():
        chunks = [
            classifier.scores(classifier.convert(chunk)) for chunk in torch.split(inputs, size)
        ]
    return torch.cat([chunk.cpu() for chunk in chunks])
