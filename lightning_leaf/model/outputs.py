"""The scores in the output of any classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from lightning_leaf.errors import LeafError


class UnusableOutput(LeafError):
    """An output that is not one row of scores for each input."""


def find_scores(output: Any, batch: int | None = None, classes: int | None = None) -> Tensor:
    """Return the tensor of scores in the output of a classifier.

    Args:
        output: A tensor; an object with ``.logits``; a dict, dataclass, tuple or list with the key
            ``"logits"`` or with tensors, of which one is chosen.
        batch: Number of inputs.
        classes: Expected number of classes. Of several tensors the first with the shape
            ``(batch, classes)`` is taken, if only one has it. Without it, and if none has this
            shape, all tensors with one row for each input must have the same shape; the first of
            them is taken.

    Raises:
        LeafError: If the output has none of these forms, or if the choice is open.
    """
    if isinstance(output, Tensor):
        return output
    named = _items(output)
    logits = named.get("logits", getattr(output, "logits", None))
    if isinstance(logits, Tensor):
        return logits
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UnusableOutput(
            "The classifier is expected to return a tensor of logits, or an object, dict or tuple "
            f"that contains it; got {_described(output, named)}."
        )
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    candidates = _candidates(tensors, batch)
    expected = [name for name, rows in candidates.items() if rows.shape[1] == classes]
    if len(expected) == 1:
        return tensors[expected[0]]
    if not candidates:
        raise UnusableOutput(
            "The classifier is expected to return one row of scores for each input, shape "
            f"({batch}, C); got {_described(output, named)}."
        )
    shapes = {rows.shape for rows in candidates.values()}
    if len(candidates) == 1 or (
        not expected and len(shapes) == 1 and isinstance(output, (tuple, list))
    ):
        return tensors[next(iter(candidates))]
    raise LeafError(
        "The classifier returns several tensors, and which of them are the logits is not clear: "
        f"{_described(output, named)}. Choose with forward=lambda model, x: "
        f"model(x){_access(output, next(reversed(candidates)))}."
    )


def _candidates(tensors: Mapping[Any, Tensor], batch: int | None) -> dict[Any, Tensor]:
    """Return the rows of tensors that may be scores; vectors only if there is nothing else."""
    rows = {name: as_rows(each, batch) for name, each in tensors.items()}
    found = {name: row for name, row in rows.items() if row is not None and row.is_floating_point()}
    matrices = {name: row for name, row in found.items() if tensors[name].ndim > 1}
    return matrices or found


def score_rows(output: Any, batch: int, classes: int | None = None) -> Tensor:  # -> (B, C)
    """Return the scores in an output, one row for each input.

    Axes of length one are removed: ``(B, 1, C)`` and ``(B, C, 1, 1)`` become ``(B, C)``.

    Args:
        output: The output of a classifier.
        batch: Number of inputs.
        classes: Expected number of classes, see :func:`find_scores`.

    Raises:
        LeafError: If the scores are not one row of floating-point numbers for each input.
    """
    scores = find_scores(output, batch, classes)
    rows = as_rows(scores, batch)
    if rows is None:
        raise UnusableOutput(
            "The classifier is expected to return one row of scores for each input, shape "
            f"({batch}, C); got shape {tuple(scores.shape)}. For outputs per pixel or token, "
            "select or average one position: forward=lambda model, x: model(x).flatten(2).mean(2) "
            "for shape (B, C, ...), or model(x)[:, 0] for shape (B, ..., C)."
        )
    if not rows.is_floating_point():
        raise UnusableOutput(
            f"The classifier is expected to return floating-point scores; got {scores.dtype}. "
            "Return the logits themselves instead of predicted labels."
        )
    return rows


def as_rows(scores: Tensor, batch: int | None) -> Tensor | None:  # -> (B, C)
    """Return scores without axes of length one, or None if they are not one row for each input."""
    if scores.ndim == 1 and batch == 1 and len(scores) > 1:  # squeezed by the model
        return scores.unsqueeze(0)
    if scores.ndim == 0 or scores.shape[0] != batch or scores.numel() == 0:
        return None
    columns = scores.shape[1:].numel()
    return scores.reshape(len(scores), -1) if columns == max(scores.shape[1:], default=1) else None


def _items(output: Any) -> dict[Any, Any]:
    """Return the parts of an output by key, name or position."""
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, (tuple, list)):
        return dict(enumerate(output))
    if is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    return {}


def _described(output: Any, items: Mapping[Any, Any]) -> str:
    """Return the type of an output, and the shapes of the tensors in it."""
    parts = [
        f"{name!r}: {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in items.items()
    ]
    shown = ", ".join(parts[:6]) + (", …" if len(parts) > 6 else "")
    return type(output).__name__ + (f" of {shown}" if parts else "")


def _access(output: Any, name: Any) -> str:
    """Return how a part of an output is written in Python."""
    return f"[{name!r}]" if isinstance(output, (Mapping, tuple, list)) else f".{name}"


def require_no_probabilities(scores: Tensor) -> None:  # (B, C), with its graph
    """Raise LeafError if the scores are probabilities instead of logits or log-probabilities."""
    classes = scores.shape[1]
    operation = _last_operation(scores.grad_fn)
    if classes == 1 and "Softmax" in operation:
        raise LeafError(
            "The classifier has a single class: a softmax over one score is always 1. Expected at "
            "least two classes, or one logit of a binary classifier without a softmax."
        )
    values = scores.detach().cpu()
    sums_to_one = are_distributions(values)
    # Values in [0, 1] that do not sum to one may be logits. Only the last operation decides.
    if sums_to_one or (are_shares(values) and operation.startswith("Sigmoid")):
        # Probabilities of exactly 0 or 1 have no finite logarithm.
        inverse = "clamp_min(1e-30).log()" if sums_to_one else "logit(1e-6)"
        raise LeafError(
            "The classifier returns probabilities (values in [0, 1]"
            + (", rows that sum to one" if sums_to_one else ", from a sigmoid")
            + "); expected logits or log-probabilities. Leave out the last softmax or sigmoid, "
            "return log_softmax instead of softmax, or pass forward=lambda model, x: "
            f"model(x).{inverse}."
        )


def are_shares(values: Tensor) -> bool:
    """Return whether all values are between 0 and 1."""
    return bool(((values >= 0) & (values <= 1)).all())


def are_distributions(values: Tensor) -> bool:  # (B, C)
    """Return whether every row is a distribution over two or more classes."""
    sums_to_one = bool(((values.sum(1) - 1).abs() < 1e-3).all())
    return values.shape[1] > 1 and are_shares(values) and sums_to_one


def _last_operation(node: Any) -> str:
    """Return the name of the last operation that is not a change of shape or type."""
    changes = ("View", "Squeeze", "Unsqueeze", "Select", "Slice", "Copy", "Clone")
    while node.name().startswith(changes) and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    return str(node.name())
