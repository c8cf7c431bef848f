"""Inputs and labels are read from batches of every usual form."""

from collections import UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, Normalization
from lightning_leaf.data.batches import Examples, read_batch, read_finite_batch

X, Y = torch.randn(3, 2, 5), torch.tensor([2, 0, 1])
Item = namedtuple("Item", ["picture", "kind"])

LABELLED = {
    "tuple": (X, Y),
    "list": [X, Y],
    "named tuple": Item(X, Y),
    "more than two": (X, Y, ["a", "b", "c"]),
    "image": {"image": X, "label": Y},
    "hugging face vision": {"pixel_values": X, "labels": Y},
    "hugging face audio": UserDict({"labels": Y, "input_values": X, "attention_mask": Y}),
    "order of keys": {"idx": Y + 5, "target": Y, "x": X},
}


@pytest.mark.parametrize("batch", LABELLED.values(), ids=LABELLED.keys())
def test_inputs_and_labels_are_read(batch):
    examples = read_batch(batch)
    assert torch.equal(examples.inputs, X)
    assert examples.labels == (2, 0, 1)


UNLABELLED = {
    "tensor": X,
    "list of one": [X],
    "dict": {"img": X},
    "unknown key": {"img": X, "k": Y},
}


@pytest.mark.parametrize("batch", UNLABELLED.values(), ids=UNLABELLED.keys())
def test_inputs_without_labels_are_read(batch):
    examples = read_batch(batch)
    assert torch.equal(examples.inputs, X)
    assert examples.labels is None


def test_inputs_are_a_copy_of_the_batch():
    with torch.inference_mode():
        batch = X.clone()
    inputs = read_batch(batch).inputs
    with torch.inference_mode():
        batch.fill_(7)
    assert torch.equal(inputs, X)
    inputs.requires_grad_()
    assert not read_batch(X.clone().requires_grad_()).inputs.requires_grad


LABELS = {
    "integers": Y,
    "bytes": Y.byte(),
    "floats": Y.float(),
    "column of floats": Y.half().unsqueeze(1),
    "one-hot": nn.functional.one_hot(Y),
    "boolean one-hot": nn.functional.one_hot(Y).bool(),
    "soft": torch.tensor([[0.3, 0.3, 0.4], [0.8, 0.0, 0.2], [0.1, 0.6, 0.3]]),
    "smoothed in half precision": (nn.functional.one_hot(Y) * 0.9 + 0.1 / 3).bfloat16(),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_class_numbers_are_read(labels):
    assert read_batch((X, labels)).labels == (2, 0, 1)


def test_binary_targets_are_class_numbers():
    assert read_batch((X, torch.tensor([True, False, True]))).labels == (1, 0, 1)


NOT_LABELS = {
    "fractions": torch.tensor([0.5, 1.0, 2.0]),
    "negative": torch.tensor([0, -100, 1]),
    "NaN": torch.tensor([0.0, torch.nan, 1.0]),
    "several labels each": torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1]]),
    "regression": torch.tensor([[0.5, 0.5], [1.0, 0.0], [-0.5, 1.5]]),
    "NaN in a row": torch.tensor([[0.5, 0.5], [torch.nan, 1.0], [0.0, 1.0]]),
    "no columns": torch.zeros(3, 0),
    "masks": torch.zeros(3, 4, 4, dtype=torch.long),
    "another count": torch.tensor([0, 1]),
    "one number": torch.tensor(1),
    "complex": Y.to(torch.complex64),
    "texts": ["cat", "dog", "cow"],
}


@pytest.mark.parametrize("labels", NOT_LABELS.values(), ids=NOT_LABELS.keys())
def test_other_targets_are_not_class_numbers(labels):
    examples = read_batch((X, labels))
    assert torch.equal(examples.inputs, X)
    assert examples.labels is None


@dataclass
class Batch:
    x: torch.Tensor


WITHOUT_INPUTS = {
    "no known key": ({"audio": X, "text": Y}, "a dict with the keys 'audio', 'text'"),
    "inputs that are not a tensor": (([1, 2], Y), "a tuple of list, Tensor"),
    "one number each": (torch.zeros(3), "a tensor of shape .3,."),
    "no inputs": (torch.zeros(0, 4), "a tensor of shape .0, 4."),
    "empty list": ([], "a list of"),
    "an object": (Batch(X), "Batch"),
}


@pytest.mark.parametrize(("batch", "message"), WITHOUT_INPUTS.values(), ids=WITHOUT_INPUTS.keys())
def test_batches_without_inputs_raise_an_error(batch, message):
    with pytest.raises(LeafError, match=f"A batch expects inputs.*got {message}.*probe=x"):
        read_batch(batch)


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_inputs_that_are_not_finite_raise_an_error(value):
    x = X.clone()
    x[1, 0, 0] = value
    with pytest.raises(LeafError, match="1 of 3 inputs contain NaN or infinity"):
        read_finite_batch({"x": x})
    # Negative control: read_batch does not check.
    assert torch.equal(read_batch({"x": x}).inputs[::2], x[::2])
    assert torch.equal(read_finite_batch((X, Y)).inputs, X)


def test_selected_examples_keep_labels_positions_names_and_normalization():
    names, normalization = ("a", "b", "c"), Normalization((0.5,), (0.5,))
    some = Examples(X, (2, 0, 1), (7, 8, 9), names, normalization).select([2, 0])
    assert torch.equal(some.inputs, X[[2, 0]])
    assert (some.labels, some.indices) == ((1, 2), (9, 7))
    assert (some.class_names, some.normalization) == (names, normalization)
    assert len(some) == 2


def test_examples_are_named_by_class_name_class_number_or_position():
    assert Examples(X, (2, 0, 1), class_names=("a", "b")).name(2) == "b"
    assert Examples(X, (2, 0, 1), class_names=("a", "b")).name(0) == "2"
    assert Examples(X, (2, 0, 1)).name(0) == "2"
    assert Examples(X, indices=(7, 8, 9)).name(1) == "#8"
    assert Examples(X).name(1) == "#1"
