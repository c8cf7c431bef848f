"""How a model is called, how batches are read, and what the scores mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, get_args

from torch import Tensor

from lightning_leaf._arguments import listed, one_of
from lightning_leaf.data.batches import Examples, Split, read_batch
from lightning_leaf.data.evidence import Judgement, judge
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.model.classifier import Classifier, finite_rows, measuring
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.scores import scores_of

MOST_KEYS, MOST_CLASSES = 20, 10**6
"""Largest numbers of keys of ``batch`` and of class names."""
JUDGED_INPUTS = 32
"""Largest number of inputs whose scores are judged."""


@dataclass(frozen=True)
class Reading:
    """The arguments with which a user says how to call a model and how to read its data.

    Args:
        forward: How to call the model, see
            :func:`~lightning_leaf.model.forward.forward_function`.
        batch: Where inputs and labels are in a batch, see
            :func:`~lightning_leaf.data.batches.read_batch`.
        likelihood: What the scores mean; None to judge it from the targets.
        class_names: Names of all classes; None if unknown.

    Raises:
        LeafError: If an argument is out of its range.
    """

    forward: Forward | None = None
    batch: Split | None = None
    likelihood: Likelihood | None = None
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not (self.forward is None or isinstance(self.forward, str) or callable(self.forward)):
            raise LeafError(
                "forward expects the name of a method or sub-module, such as forward='backbone', "
                f"or a function (module, inputs) -> scores; got {shown(self.forward)}."
            )
        if not (self.batch is None or isinstance(self.batch, Sequence) or callable(self.batch)):
            raise LeafError(
                "batch expects the names of keys, such as batch=('pixels', 'target'), or a "
                f"function batch -> (inputs, labels); got {shown(self.batch)}."
            )
        if self.likelihood is not None:
            one_of(self.likelihood, get_args(Likelihood), "likelihood")
        if isinstance(self.class_names, str):
            raise LeafError(
                "class_names expects a list of the names of all classes, such as "
                f"class_names=['cat', 'dog']; got {shown(self.class_names)}."
            )
        is_list = isinstance(self.batch, Sequence) and not isinstance(self.batch, str)
        if is_list:  # lists of a configuration, which can have classes of their own
            object.__setattr__(self, "batch", tuple(listed(self.batch, "batch", MOST_KEYS)))  # type: ignore[arg-type]
        if self.class_names is not None:
            names = listed(self.class_names, "class_names", MOST_CLASSES)
            object.__setattr__(self, "class_names", tuple(map(str, names)))

    def examples(self, batch: Any, positions: Sequence[Any] | None = None) -> Examples:
        """Return the examples of a batch, with the class names.

        Raises:
            LeafError: If the batch has no tensor of inputs.
        """
        names = None if self.class_names is None else tuple(self.class_names)
        return replace(read_batch(batch, self.batch, positions), class_names=names)

    def opened(
        self, model: Callable[..., Any], judgement: Judgement | None = None
    ) -> AbstractContextManager[Classifier]:
        """Open a model for measuring; an open classifier is passed through.

        Args:
            model: The model.
            judgement: What its scores mean.
        """
        if isinstance(model, Classifier):
            return measuring(model)
        return measuring(
            model,
            forward=self.forward,
            likelihood=self.likelihood if judgement is None else judgement.likelihood,
            classes=None if judgement is None else judgement.classes,
        )

    def judge(
        self,
        model: Callable[..., Any],
        examples: Examples,
        chunks: FittingChunks,
        seen: tuple[int, ...] | None = None,
    ) -> Judgement | None:
        """Return what the scores of a model mean; None if the scores of no example are finite.

        Args:
            model: The model.
            examples: Examples that will be measured.
            chunks: Inputs per forward pass.
            seen: Labels of a random sample of the data set.

        Raises:
            LeafError: If the local data matrix of the scores has no meaning.
        """
        examples = examples.select(range(min(len(examples), JUDGED_INPUTS)))
        opened = measuring(
            model,
            forward=self.forward,
            likelihood="bernoulli",  # for a single column of scores
            classes=expected_classes(examples, seen),
        )
        with opened as classifier:
            scores = chunks.run(lambda size: scores_of(classifier, examples.inputs, size))
        return self.judge_scores(examples, scores, seen)

    def judge_scores(
        self,
        examples: Examples,
        scores: Tensor,  # (B, C)
        seen: tuple[int, ...] | None,
    ) -> Judgement | None:
        """Return what scores mean; None if those of no example are finite.

        Args:
            examples: The examples.
            scores: Their scores, see :func:`~lightning_leaf.model.scores.scores_of`.
            seen: Labels of a random sample of the data set.

        Raises:
            LeafError: If the local data matrix of the scores has no meaning.
        """
        finite = finite_rows(scores).nonzero().flatten().tolist()
        if not finite:
            return None
        return judge(
            examples.select(finite),
            scores[finite],
            likelihood=self.likelihood,
            labels_seen=seen,
            explicit_forward=self.forward is not None,
        )


def expected_classes(examples: Examples, seen: tuple[int, ...] | None) -> int | None:
    """Return the number of classes that the data set suggests, if it suggests one.

    Args:
        examples: Some examples.
        seen: Labels of a random sample of the data set.
    """
    if examples.class_names is not None:
        return len(examples.class_names)
    if examples.target_columns is not None and examples.target_columns > 1:
        return examples.target_columns
    labels = [*(seen or ()), *(examples.labels or ())]
    return max(2, 1 + max(labels)) if labels else None
