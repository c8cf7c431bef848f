"""What the scores of a module mean, judged from its data and the scores themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lightning_leaf.callbacks.example_pool import targets_seen
from lightning_leaf.callbacks.notices import log_warning
from lightning_leaf.data.batches import Examples, Split
from lightning_leaf.data.evidence import Judgement
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.quiet import quiet
from lightning_leaf.model.scores import scores_of
from lightning_leaf.monitoring.advice import unused_arguments
from lightning_leaf.monitoring.reading import JUDGED_INPUTS, Reading, expected_classes
from lightning_leaf.trainer.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

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
        target = processes.on_rank_zero(lambda: targets_seen(trainer, split, SEED))
    seen = target.labels
    if examples.targets is None:  # inputs that were passed without labels
        examples = replace(examples, targets=target.kind, target_columns=target.columns)
    # With "bernoulli" a single column stays a single column.
    with processes.measuring(
        module, forward=forward, likelihood="bernoulli", classes=expected_classes(examples, seen)
    ) as classifier:
        scores = processes.run(
            lambda: chunks.run(lambda size: scores_of(classifier, examples.inputs, size))
        )
    if forward is None and (advice := unused_arguments(module, examples)):
        log_warning(advice)
    reading = Reading(forward, split, likelihood)
    return processes.on_rank_zero(lambda: reading.judge_scores(examples, scores, seen))
