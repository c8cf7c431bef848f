"""What the scores of a model mean, judged from the targets and the scores themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lightning_leaf.data.batches import Examples
from lightning_leaf.errors import LeafError
from lightning_leaf.model.likelihood import Likelihood

CHANCE = 1e-4
"""Probability below which labels are not a random sample of as many classes as there are scores."""
ENOUGH = 16
"""Number of scores between 0 and 1 from which on they are probabilities: 2⁻¹⁶ for random logits."""
UNIT_NORM = 1e-3
"""Largest deviation from norm one of embeddings that are normalized."""
INSIST = 'If the scores are logits of exclusive classes, pass likelihood="categorical".'


@dataclass(frozen=True)
class Judgement:
    """What scores mean.

    Attributes:
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.
        classes: Number of classes or labels.
        assumption: One sentence for the log: what is assumed, and why.
    """

    likelihood: Likelihood
    classes: int
    assumption: str


def judge(
    examples: Examples,
    scores: Tensor,  # (B, C)
    *,
    likelihood: Likelihood | None,
    labels_seen: Sequence[int] | None = None,
    explicit_forward: bool = False,
) -> Judgement:
    """Decide what the scores of a model mean.

    Args:
        examples: The examples whose scores are given.
        scores: Output of the model, ``(B, C)``; one column is the logit of a binary classifier.
        likelihood: The choice of the user, if there is one. Only labels that exceed the number of
            classes are then refused.
        labels_seen: Labels of a random sample of the same data set.
        explicit_forward: Whether the user chose what computes the scores.

    Raises:
        LeafError: If the local data matrix of these scores has no meaning.

    Example:
        >>> import torch
        >>> examples = Examples(torch.rand(2, 4), labels=(0, 2), targets="classes")
        >>> judge(examples, torch.rand(2, 3), likelihood=None).assumption
        'Scores are read as the logits of 3 exclusive classes, because the labels are 0 and 2.'
    """
    columns = scores.shape[1]
    chosen = likelihood or _likelihood_of_targets(examples, columns)
    classes = columns if chosen == "bernoulli" else max(2, columns)
    labels = [*(labels_seen or ()), *(examples.labels or ())]
    if labels and max(labels) >= max(2, columns):
        raise LeafError(_labels_exceed(sorted(set(labels)), columns))
    if likelihood is None:
        _require_exclusive_classes(examples, scores, chosen, labels_seen, explicit_forward)
    because = _reason(examples, sorted(set(labels)), likelihood)
    if likelihood is None and _speak_against(labels, columns):
        because += f". No label above {max(labels)} was seen: if the scores are features, say with "
        because += "forward= what computes the logits"
    if columns == 1:
        what = "The single score is read as the logit of class 1 against class 0"
    elif chosen == "bernoulli":
        what = f"Scores are read as the logits of {classes} independent labels"
    else:
        what = f"Scores are read as the logits of {classes} exclusive classes"
    return Judgement(chosen, classes, f"{what}, because {because}.")


def _likelihood_of_targets(examples: Examples, columns: int) -> Likelihood:
    if examples.targets != "labels":
        return "categorical"
    if examples.target_columns != columns:
        raise LeafError(
            f"Expected one score for each of the {examples.target_columns} labels of an example; "
            f"got {columns} scores. Name the part of the module that computes the scores, for "
            'example forward="head", or say which targets belong to them, for example '
            'batch=("image", "label").'
        )
    return "bernoulli"


def _require_exclusive_classes(
    examples: Examples,
    scores: Tensor,
    chosen: Likelihood,
    labels_seen: Sequence[int] | None,
    explicit_forward: bool,
) -> None:
    """Check that nothing speaks against the likelihood that was chosen for the user."""
    columns = scores.shape[1]
    names = examples.class_names
    if explicit_forward:
        other = 'Choose another part of the module with forward="...".'
    else:
        other = (
            "Say what computes the logits, for example "
            'forward=lambda module, x: module.head(module(x)) or forward="predict_logits".'
        )
    if examples.targets == "values":
        raise LeafError(
            f"Expected labels of classes; the targets are {_values(examples)}. The local data "
            "matrix is that of a classifier. For a regression remove the callback. If there are "
            f'labels, say where, for example batch=("image", "label"). {INSIST} If they are '
            'logits of independent labels, pass likelihood="bernoulli".'
        )
    if (chosen == "bernoulli" or columns == 1) and _are_probabilities(scores):
        raise LeafError(
            f"Expected logits; all {scores.numel()} scores lie between 0 and 1, as probabilities "
            "do. Pass forward=lambda module, x: module(x).logit(), or "
            f'likelihood="{chosen}" if they are logits.'
        )
    if chosen == "bernoulli":
        return
    if examples.target_columns not in (None, max(2, columns)):
        raise LeafError(
            f"Expected one score for each of the {examples.target_columns} columns of the "
            f"targets; got {columns} scores, perhaps features. {other} {INSIST}"
        )
    if names is not None and len(names) != max(2, columns):
        raise LeafError(
            f"Expected one score for each of the {len(names)} classes that have a name; got "
            f"{columns} scores, perhaps features. {other} {INSIST} Other names: "
            'class_names=["cat", "dog"].'
        )
    if names is None and labels_seen and _speak_against(labels_seen, columns):
        raise LeafError(
            f"Expected as many scores as there are classes; got {columns} scores, but "
            f"{len(labels_seen)} random examples have no label above {max(labels_seen)}: the "
            f"scores may be features. {other} {INSIST}"
        )
    if chosen == "categorical":
        _require_no_embeddings(examples, scores, f"{other} {INSIST}")


def _require_no_embeddings(examples: Examples, scores: Tensor, advice: str) -> None:
    columns = scores.shape[1]
    norms = scores.detach().double().norm(dim=1)
    if columns > 2 and bool(((norms - 1).abs() < UNIT_NORM).all()):
        raise LeafError(
            f"Expected logits of classes; all {len(scores)} rows of scores have norm 1, as "
            f"embeddings have. {advice}"
        )
    if examples.targets is None and columns > 1 and scores.shape == examples.inputs.shape:
        raise LeafError(
            f"Expected logits of classes; the scores have the shape of the inputs, "
            f"{tuple(scores.shape)}, and there are no labels: they may be reconstructions. "
            f"{advice}"
        )


def _are_probabilities(scores: Tensor) -> bool:
    """Return whether all scores are between 0 and 1, which logits are by chance only."""
    return scores.numel() >= ENOUGH and bool(((scores > 0) & (scores < 1)).all())


def _speak_against(labels: Sequence[int], columns: int) -> bool:
    """Return whether labels are unlikely to be a random sample of as many classes as scores."""
    return bool(labels) and ((max(labels) + 1) / max(2, columns)) ** len(labels) < CHANCE


def _labels_exceed(labels: list[int], columns: int) -> str:
    highest = labels[-1]
    if highest == columns > 1 and labels[0] > 0:
        return (
            f"Expected labels from 0 to {columns - 1}, one for each score; got labels from "
            f"{labels[0]} to {highest}. If they count from 1, pass batch=lambda batch: (batch[0], "
            "batch[1] - 1)."
        )
    if columns == 1:
        cause = "one score can tell only the classes 0 and 1. A regression cannot be measured"
    else:
        cause = f"{columns} scores are the logits of classes 0 to {columns - 1}"
    return (
        f"Expected labels below the number of classes; got label {highest}, but {cause}. The "
        "tensor may hold something else, such as positions in the data set. Say where inputs and "
        'labels are in a batch, for example batch=("image", "label") or batch=(0, 2), or which '
        'part of the module computes the scores, for example forward="head".'
    )


def _values(examples: Examples) -> str:
    if examples.target_columns is None:
        return "numbers that are not class numbers, as in a regression"
    return (
        f"rows of {examples.target_columns} numbers that are neither probabilities nor zeros and "
        "ones, as in a regression or for several tasks"
    )


def _reason(examples: Examples, labels: list[int], likelihood: Likelihood | None) -> str:
    if likelihood is not None:
        return f'likelihood="{likelihood}" was given'
    if examples.targets == "labels":
        return "some examples have no label or several"
    if not labels:
        return "the data set has no labels that say otherwise"
    if len(labels) > 2 and labels == list(range(len(labels))):
        return f"the labels are whole numbers from 0 to {labels[-1]}"
    if len(labels) <= 3:
        *first, last = map(str, labels)
        listed = f"{', '.join(first)} and {last}" if first else last
        return f"the labels are {listed}"
    return f"the labels are whole numbers from {labels[0]} to {labels[-1]}"
