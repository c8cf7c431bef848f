"""The scores in the output of any classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightning_leaf.errors import LeafError


def find_scores(output: Any, batch: int | None = None, classes: int | None = None) -> Tensor:
    """Return the tensor of scores in the output of a classifier.

    Args:
        output: A tensor, an object with ``.logits``, a dict with the key ``"logits"`` or a single
            tensor, or a tuple or list whose first item is a tensor.
        batch: Number of inputs.
        classes: Expected number of classes: of several tensors in a tuple, list or dict, the first
            with the shape ``(batch, classes)`` is taken.

    Raises:
        LeafError: If the output has none of these forms.
    """
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return output["logits"]  # type: ignore[no-any-return]
    if isinstance(output, (Mapping, tuple, list)):
        items = output.values() if isinstance(output, Mapping) else output
        for item in items:
            if isinstance(item, Tensor) and item.shape == (batch, classes):
                return item
    if isinstance(output, Mapping):
        tensors = [value for value in output.values() if isinstance(value, Tensor)]
        if len(tensors) == 1:
            return tensors[0]
    elif isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
        return output[0]
    described = type(output).__name__
    if isinstance(output, Mapping):
        described += f" with keys {sorted(map(str, output))}"
    raise LeafError(
        "The classifier is expected to return a tensor of logits, an object with .logits, a dict "
        f'with the key "logits" (or a single tensor), or a tuple that begins with them; got '
        f"{described}. Wrap it in a function that returns the logits."
    )


def score_rows(output: Any, batch: int, classes: int | None = None) -> Tensor:  # -> (B, C)
    """Return the scores in an output, one row for each input.

    Args:
        output: The output of a classifier.
        batch: Number of inputs.
        classes: Expected number of classes, see :func:`find_scores`.

    Raises:
        LeafError: If the scores are not one row of floating-point numbers for each input.
    """
    scores = find_scores(output, batch, classes)
    if scores.ndim == 1 and scores.shape[0] == batch:
        scores = scores.unsqueeze(1)
    if scores.ndim != 2 or scores.shape[0] != batch or scores.shape[1] == 0:
        raise LeafError(
            "The classifier is expected to return one row of scores for each input, shape "
            f"({batch}, C); got shape {tuple(scores.shape)}. For outputs per pixel or token, wrap "
            "the model and select or average one position."
        )
    if not scores.is_floating_point():
        raise LeafError(
            f"The classifier is expected to return floating-point scores; got {scores.dtype}. "
            "Return the logits themselves instead of predicted labels."
        )
    return scores


def require_no_probabilities(scores: Tensor) -> None:  # (B, C), with its graph
    """Raise LeafError if the scores are probabilities instead of logits or log-probabilities."""
    classes = scores.shape[1]
    operation = _last_operation(scores.grad_fn)
    if classes == 1 and "Softmax" in operation:
        raise LeafError(
            "The classifier has a single class: a softmax over one score is always 1. Expected at "
            "least two classes, or one logit of a binary classifier without a softmax."
        )
    values = scores.detach()
    in_unit_interval = bool(((values >= 0) & (values <= 1)).all())
    sums_to_one = classes > 1 and bool(((values.sum(1) - 1).abs() < 1e-3).all())
    # Values in [0, 1] that do not sum to one may be logits. Only the last operation decides.
    if in_unit_interval and (sums_to_one or operation.startswith("Sigmoid")):
        raise LeafError(
            "The classifier returns probabilities (values in [0, 1]"
            + (", rows that sum to one" if sums_to_one else ", from a sigmoid")
            + "); expected logits or log-probabilities. Leave out the last softmax or sigmoid, or "
            "return its logarithm (log_softmax, logsigmoid)."
        )


def _last_operation(node: Any) -> str:
    """Return the name of the last operation that is not a change of shape or type."""
    changes = ("View", "Squeeze", "Unsqueeze", "Select", "Slice", "Copy", "Clone")
    while node.name().startswith(changes) and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    return str(node.name())
