"""What another network predicts for the last points of paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lightning_leaf.drawing.predictions import predictions
from lightning_leaf.errors import LeafError
from lightning_leaf.model.classifier import finite_rows, measuring
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.outputs import are_distributions
from lightning_leaf.model.scores import scores_of
from lightning_leaf.paths.leaf_path import LeafPath

Judge = Callable[..., Any]
"""A trained classifier: a module, or a function from inputs to scores."""


@dataclass(frozen=True)
class SecondOpinion:
    """The prediction of another network for one input.

    Attributes:
        prediction: The most probable class, or the labels with p > ½; empty if there is no
            prediction.
        probability: Probability of that class; NaN for labels and without a prediction.
    """

    prediction: str = ""
    probability: float = math.nan


def second_opinions(
    judge: Judge,
    path: LeafPath,
    names: Sequence[str] | None,
    device: torch.device | None = None,
    chunk_size: int | None = None,
) -> list[SecondOpinion]:
    """Return what another network predicts for the last point of each path.

    A module is evaluated in evaluation mode on its own device, and left as it was.

    Args:
        judge: The other network.
        path: The paths.
        names: Names of the classes.
        device: Device of the inputs of a judge that is a function. Default: the CPU.
        chunk_size: Inputs per forward pass. Default: 32 on a CPU.

    Raises:
        LeafError: If the judge does not return one score for each class, or returns
            probabilities.
    """
    classes, likelihood = path[0].log_probs.shape[-1], path.likelihood
    ends = torch.stack([single.points[-1] for single in path])
    opinions = [SecondOpinion()] * len(path)
    rows = finite_rows(ends).nonzero().flatten().tolist()
    if not rows:
        return opinions
    inputs = ends[rows] if isinstance(judge, nn.Module) else ends[rows].to(device)
    with measuring(judge, likelihood=likelihood, classes=classes, inputs=inputs) as classifier:
        scores = FittingChunks(chunk_size).run(lambda size: scores_of(classifier, inputs, size))
        log_probs = classifier.log_probs(scores)
    if log_probs.shape[1] != classes:
        raise LeafError(
            f"judge expects a classifier of the same {classes} classes; got {log_probs.shape[1]} "
            f"scores for each input from {type(judge).__name__}."
        )
    if are_distributions(scores):
        raise LeafError(
            "judge expects a classifier that returns logits or log-probabilities; it returns "
            "probabilities (values in [0, 1], rows that sum to one). Leave out its last softmax, "
            "or pass judge=lambda x: model(x).clamp_min(1e-30).log()."
        )
    texts, probabilities = predictions(log_probs, likelihood, names)
    are_finite = finite_rows(scores).tolist()
    for row, text, p, is_finite in zip(
        rows, texts, probabilities.tolist(), are_finite, strict=True
    ):
        if is_finite:
            opinions[row] = SecondOpinion(text, p)
    return opinions
