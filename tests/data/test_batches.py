"""Inputs and labels are read from batches of every usual form."""

import sys
from collections import UserDict, UserList, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, Normalization
from lightning_leaf.data.batches import Examples, read_batch, read_finite_batch, read_singles

X, Y = torch.randn(3, 2, 5), torch.tensor([2, 0, 1])
Item = namedtuple("Item", ["picture", "kind"])


@dataclass
class Batch:
    picture: torch.Tensor
    label: torch.Tensor


class LikeADict:
    """A mapping that does not say so, as some containers of tensors are."""

    def __init__(self, content):
        self._content = content

    def keys(self):
        return self._content.keys()

    def __getitem__(self, key):
        return self._content[key]


LABELLED = {
    "tuple": (X, Y),
    "list": [X, Y],
    "named tuple": Item(X, Y),
    "more than two": (X, Y, ["a", "b", "c"]),
    "image": {"image": X, "label": Y},
    "hugging face vision": {"pixel_values": X, "labels": Y},
    "hugging face audio": UserDict({"labels": Y, "input_values": X, "attention_mask": Y}),
    "order of keys": {"idx": Y + 5, "target": Y, "x": X},
    "dataclass": Batch(X, Y),
    "nested": {"data": {"views": [X, X + 1]}, "meta": {"label": Y}},
    "like a dict": LikeADict({"image": X, "label": Y}),
    "name under the first key": {"image": ["a", "b", "c"], "pixel_values": X, "labels": Y},
    "name and number of a label": {"image": X, "label": ["a", "b", "c"], "labels": Y},
    "other words": {"signals": X, "fine_label": Y, "lengths": Y + 1},
    "index first": (torch.arange(3), X, Y),
    "views": ([X, X + 1], Y, ["a", "b", "c"]),
    "sampling rate": (X, torch.full((3,), 16000), Y),
    "mixed labels": (X, (Y, Y, 1.0)),
    "two inputs": (X, torch.rand(3, 4), Y),
    "several loaders": {"unknown": (torch.rand(5, 2, 5),), "known": (X, Y)},
    "array": (X.numpy(), Y.tolist()),
    "mask": {"pixel_mask": torch.ones(3, 5), "target_weight": torch.ones(3, 2), "a": X, "y": Y},
    "mask of zeros and ones": (X[:, :, 0], (X[:, :, 0] > 0.5).float(), Y),
    "weights before": {"weight": torch.rand(3), "y": Y, "x": X},
}


@pytest.mark.parametrize("batch", LABELLED.values(), ids=LABELLED.keys())
def test_inputs_and_labels_are_read(batch):
    examples = read_batch(batch)
    assert torch.equal(examples.inputs, X if examples.inputs.ndim > 2 else X[:, :, 0])
    assert examples.labels == (2, 0, 1)


AMBIGUOUS = {
    "same shape": {"radar": X, "optical": X + 1, "cover": Y},
    "images": {"left": torch.rand(3, 3, 8, 8), "depth": torch.rand(3, 1, 8, 8), "label": Y},
    "nested": {"a": {"radar": X, "optical": X + 1}, "label": Y},
}


@pytest.mark.parametrize("batch", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_several_possible_inputs_under_unknown_keys_are_refused(batch):
    with pytest.raises(LeafError, match=r"can be inputs.*batch=\("):
        read_batch(batch)
    # Negative control: a known key, another shape, or a name decides.
    assert torch.equal(read_batch({"image": X, "radar": X + 1}).inputs, X)
    assert torch.equal(read_batch({"radar": X, "meta": torch.rand(3, 2)}).inputs, X)
    assert torch.equal(read_batch({"radar": X + 1, "optical": X}, "optical").inputs, X)


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


def test_token_numbers_are_inputs_and_not_their_mask():
    tokens = torch.randint(9, (3, 7))
    batch = {"input_ids": tokens, "attention_mask": torch.ones(3, 7), "labels": Y}
    assert torch.equal(read_batch(batch).inputs, tokens)


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


WITHOUT_INPUTS = {
    "no tensor": ({"audio": "a.wav", "text": Y}, "a dict with the keys 'audio', 'text'"),
    "inputs that are not a tensor": (([1, 2], Y), "a tuple of list, Tensor"),
    "one number each": (torch.zeros(3), "a tensor of shape .3,."),
    "no inputs": (torch.zeros(0, 4), "a tensor of shape .0, 4."),
    "empty list": ([], "a list of"),
    "an object": (Batch(Y, Y), "Batch"),
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


def first(batch):
    return batch[0]


SPLITS = {
    "a key": ("b", {"a": X + 1, "b": X, "label": Y}),
    "two keys": (("b", "c"), {"a": X + 1, "b": X, "c": Y, "label": Y + 1}),
    "a list of a configuration": (UserList(["b", "c"]), {"a": X + 1, "b": X, "c": Y}),
    "dotted keys": (("in.b", "out.0"), {"in": {"a": X + 1, "b": X}, "out": [Y]}),
    "positions": ((1, 3), (X + 1, X, Y + 1, Y)),
    "a field": ("picture", Batch(X, Y)),
    "a function": (lambda batch: (batch["b"], batch["c"]), {"b": X, "c": Y}),
    "its name": (f"{__name__}.first", [(X, Y), 3]),
    "columns": (lambda batch: batch["a"][:, :2], {"a": torch.cat([X, X], 1), "label": Y}),
}


@pytest.mark.parametrize(("split", "batch"), SPLITS.values(), ids=SPLITS.keys())
def test_users_can_say_where_inputs_and_labels_are(split, batch, monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(first=first))
    examples = read_batch(batch, split)
    assert torch.equal(examples.inputs, X)
    assert examples.labels == (2, 0, 1)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("pixels", "batch=.*pixels.*expects these keys.*got a dict with the keys 'a', 'b'"),
        (("a", "b", "c"), "expects the key of the inputs, or the keys of inputs and labels"),
        ("b", "batch='b' expects to find a tensor of inputs"),
        (lambda batch: batch["b"], "expects to find a tensor of inputs"),
    ],
)
def test_wrong_splits_raise_an_error(split, message):
    with pytest.raises(LeafError, match=message):
        read_batch({"a": X, "b": Y}, split)


ROWS = torch.tensor([[0, 1.0, 0], [1, 0, 1], [0, 0, 0]])
KINDS = {
    "integers": (Y, "classes", None),
    "without a label": (torch.tensor([0, -1, 2]), "classes", None),
    "one-hot": (nn.functional.one_hot(Y), "classes", 3),
    "binary column": (torch.tensor([[0.0], [1.0], [1.0]]), "classes", None),
    "several labels": (ROWS, "labels", 3),
    "several labels, smoothed": (ROWS * 0.9 + 0.05, "labels", 3),
    "several labels, mixed": (0.7 * ROWS.repeat(1, 4) + 0.3 * ROWS.flip(0).repeat(1, 4), None, 12),
    "boolean": (ROWS.bool(), "labels", 3),
    "regression": (torch.tensor([0.5, -1.0, 2.0]), "values", None),
    "boxes": (torch.rand(3, 4), "values", 4),
    "several tasks": (torch.tensor([[0, 3], [2, 1], [1, 1]]), "values", 2),
    "texts": (["cat", "dog", "cow"], None, None),
}


@pytest.mark.parametrize(("targets", "kind", "columns"), KINDS.values(), ids=KINDS.keys())
def test_targets_are_classes_labels_or_values(targets, kind, columns):
    examples = read_batch((X, targets))
    assert kind is None or examples.targets == kind
    assert examples.target_columns == columns
    assert examples.select([1]).targets == examples.targets


def test_positions_in_the_data_set_are_not_labels():
    x, positions, y = torch.rand(6, 3), torch.tensor([7, 3, 90, 5, 11, 2]), torch.arange(6) % 3
    given = positions.tolist()
    assert read_batch((x, positions, y), positions=given).labels == (0, 1, 2, 0, 1, 2)
    assert read_batch((x, positions), positions=given).labels is None
    assert read_batch((x, positions, y)).labels == (0, 1, 2, 0, 1, 2)
    # Negative control: other numbers of an only tensor are labels, and equal ones by chance, too.
    assert read_batch((x, positions), positions=given[::-1]).labels == tuple(given)
    assert read_batch((x, torch.arange(6)), positions=range(6)).labels == (0, 1, 2, 3, 4, 5)


def test_batches_of_single_examples_are_joined():
    batches = [{"x": X[i : i + 1], "label": Y[i : i + 1], "id": [f"{i}"]} for i in range(3)]
    inputs, target = read_singles(batches, None, [4, 5, 6])
    assert torch.equal(torch.cat(inputs), X)
    assert target.labels == (2, 0, 1)
    # The first of several rows is used, whose inputs may differ in shape.
    several = [(torch.full((2, 2 + i), i), torch.full((2,), i)) for i in range(3)]
    several = [(x.float(), y) for x, y in several]
    inputs, target = read_singles(several, None, None)
    assert [tuple(x.shape) for x in inputs] == [(1, 2), (1, 3), (1, 4)]
    assert target.labels == (0, 1, 2)
    # A list of images is no batch of as many examples as there are channels.
    with pytest.raises(LeafError, match="A batch expects inputs"):
        read_singles([([torch.rand(3, 8, 8)], [{"boxes": torch.rand(4)}])], None, None)


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
