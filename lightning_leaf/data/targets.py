"""The targets of a batch: which tensor they are, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from lightning_leaf.data.structure import Place

Kind = Literal["classes", "labels", "values"]
"""Kinds of targets: exclusive classes, several independent labels per row, other numbers."""

LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
"""Keys of the labels in a batch that is a mapping; the first one with numbers is used."""
PARTS_OF_LABEL_KEYS = ("label", "target", "class", "category", "categories")
"""Words in other keys of labels, such as ``fine_label``."""


@dataclass(frozen=True)
class Target:
    """The targets of some rows.

    Attributes:
        labels: Class number of each row; None if the targets are not classes.
        kind: What the targets are; None if there are none.
        columns: Number of columns of targets that are rows.
        place: Where they are in the batch; None if unknown.
    """

    labels: tuple[int, ...] | None = None
    kind: Kind | None = None
    columns: int | None = None
    place: Place | None = field(default=None, compare=False)


def read_target(y: Any, count: int) -> Target:
    """Return the meaning of a tensor of targets; nothing if it is not one with ``count`` rows.

    Class numbers are integers, floats with whole values (binary targets), and one-hot or soft rows
    that sum to one.
    """
    if not isinstance(y, Tensor) or y.ndim not in (1, 2) or len(y) != count or y.is_complex():
        return Target()
    is_float = y.is_floating_point()
    y = y.detach().cpu().double()
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        return _read_rows(y)
    whole = bool((y == y.floor()).all()) and bool(y.isfinite().all())
    if whole and bool((y >= 0).all()):
        return Target(tuple(y.long().tolist()), "classes")
    # −1 or −100 mark rows without a label.
    return Target(None, "classes" if whole and not is_float else "values")


def _read_rows(y: Tensor) -> Target:
    columns = y.shape[1]
    if columns == 0:
        return Target()
    sums_to_one = (y >= 0).all(1) & ((y.sum(1) - 1).abs() < 0.02)
    if bool(sums_to_one.all()):
        return Target(tuple(y.argmax(1).tolist()), "classes", columns)
    return Target(None, "labels" if _are_labels(y) else "values", columns)


def _are_labels(y: Tensor) -> bool:
    """Return whether rows hold independent labels: zeros and ones, also smoothed or mixed."""
    if not bool(((y >= 0) & (y <= 1)).all()):
        return False
    if len(set(y.flatten().tolist())) <= 2:
        return True
    return y.shape[1] > 4 and bool(((y == 0) | (y == 1)).double().mean() > 0.5)


def choose_target(
    leaves: dict[Place, Tensor],
    inputs: Place,
    count: int,
    positions: Sequence[Any] | None = None,
    known: Place | None = None,
) -> Target:
    """Return the targets among the tensors of a batch.

    Those of a mapping have one of the :data:`LABEL_KEYS` or a key with one of the
    :data:`PARTS_OF_LABEL_KEYS`. In a sequence they are the first tensor behind the inputs that
    holds classes or labels and not positions in the data set.

    Args:
        leaves: The tensors.
        inputs: The place of the inputs.
        count: Number of rows.
        positions: Position of each row in the data set, if known.
        known: Place of the targets in a larger batch of the same structure, if known.
    """
    if known in leaves and (target := read_target(leaves[known], count)).kind is not None:
        return replace(target, place=known)
    candidates = []
    for place, y in _in_order(leaves, inputs):
        target = replace(read_target(y, count), place=place)
        if target.kind is not None and not _are_positions(target, positions):
            candidates.append((place, target))
    discrete = [target for _, target in candidates if target.kind != "values"]
    if len(discrete) > 1 and inputs in leaves:  # zeros and ones of the shape of the inputs: a mask
        shape = leaves[inputs].shape
        masks = [place for place, _ in candidates if leaves[place].shape == shape]
        discrete = [target for target in discrete if target.place not in masks] or discrete
    if len(discrete) > 1:
        # A constant, such as a sampling rate, or a number of each row, such as its index.
        telling = [
            target for target in discrete if not _is_constant(target) and not _counts(target)
        ]
        discrete = telling or discrete
    if discrete:
        return discrete[0]
    return candidates[0][1] if candidates else Target()


def _in_order(leaves: dict[Place, Tensor], inputs: Place) -> list[tuple[Place, Tensor]]:
    """Return the tensors that may be targets, the most plausible ones first."""
    others = [(place, leaf) for place, leaf in leaves.items() if place != inputs]
    named = [(place, leaf) for place, leaf in others if _label_rank(place) is not None]
    if named:
        return sorted(named, key=lambda each: _label_rank(each[0]) or 0)
    # Unknown keys may be anything: lengths, numbers of patients, weights.
    places = list(leaves)
    behind = places[places.index(inputs) + 1 :] if inputs in leaves else places
    return [
        (place, leaf)
        for place, leaf in sorted(others, key=lambda each: each[0] not in behind)
        if not any(isinstance(key, str) for key in _beside(place, inputs))
    ]


def _beside(place: Place, inputs: Place) -> Place:
    """Return the end of a place, from where it differs from that of the inputs."""
    shared = 0
    while shared < min(len(place), len(inputs)) and place[shared] == inputs[shared]:
        shared += 1
    return place[shared:]


def _label_rank(place: Place) -> int | None:
    keys = [key.lower() for key in place if isinstance(key, str)]
    if not keys:
        return None
    if keys[-1] in LABEL_KEYS:
        return LABEL_KEYS.index(keys[-1])
    words = keys[-1].replace("-", "_").split("_")
    return len(LABEL_KEYS) if set(words) & set(PARTS_OF_LABEL_KEYS) else None


def _are_positions(target: Target, positions: Sequence[Any] | None) -> bool:
    """Return whether the numbers are the positions in the data set, and not equal by chance."""
    if target.labels is None or positions is None or len(set(target.labels)) < 4:
        return False
    return target.labels == tuple(positions) and target.labels != tuple(range(len(positions)))


def _is_constant(target: Target) -> bool:
    return target.labels is not None and len(target.labels) > 1 and len(set(target.labels)) == 1


def _counts(target: Target) -> bool:
    """Return whether each row has a number of its own, as an index has."""
    labels = target.labels
    if labels is None or len(labels) < 4 or target.columns is not None:
        return False
    return len(set(labels)) == len(labels)
