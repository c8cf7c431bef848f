"""Positions are read from any sequence of a configuration, and names from modules."""

from collections import UserList
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from lightning_leaf import HorizontalPathSnapshot, LeafError, LocalDataMatrixMonitor
from lightning_leaf.callbacks import user_inputs
from lightning_leaf.callbacks.user_inputs import (
    as_number,
    as_pairs_of_positions,
    as_positions,
    names_for,
    names_of,
)
from lightning_leaf.monitoring import reading

SEQUENCES = {
    "list": [3, 1, 2],
    "tuple": (3, 1, 2),
    "list of a configuration": UserList([3, 1, 2]),
    "array": np.array([3, 1, 2], dtype=np.uint8),
    "numbers of NumPy": [np.int64(3), 1, np.int32(2)],
    "tensor": torch.tensor([3, 1, 2]),
    "numbers of torch": [torch.tensor(3), 1, 2],
}


@pytest.mark.parametrize("given", SEQUENCES.values(), ids=SEQUENCES.keys())
def test_any_sequence_of_whole_numbers_holds_positions(given):
    assert as_positions(given) == [3, 1, 2]
    assert as_pairs_of_positions(given) is None


def test_a_number_of_any_library_is_a_count():
    for number in (3, np.int64(3), torch.tensor(3)):
        assert as_number(number) == 3
    for other in (True, 3.0, "3", [3], np.array([3]), torch.tensor(3.0)):
        assert as_number(other) is None


def test_a_range_and_an_empty_sequence_hold_positions():
    assert as_positions(range(2, 8, 3)) == [2, 5]
    assert as_positions([]) == []


@pytest.mark.parametrize(
    "given",
    [
        3,
        "123",
        [1.5],
        [True],
        ["a"],
        torch.rand(3),
        torch.zeros(2, 2, dtype=torch.long),
        torch.tensor([True]),
        (torch.rand(3, 4), torch.tensor([0, 1, 2])),
        TensorDataset(torch.rand(3)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_other_values_are_no_positions(given):
    assert as_positions(given) is None


@pytest.mark.parametrize(
    "given",
    [
        [(1, 2), (3, 4)],
        ((1, 2), [3, 4]),
        UserList([UserList([1, 2]), (3, np.int64(4))]),
        np.array([[1, 2], [3, 4]]),
        torch.tensor([[1, 2], [3, 4]]),
    ],
    ids=["tuples", "mixed", "configuration", "array", "tensor"],
)
def test_nested_sequences_hold_pairs_of_positions(given):
    assert as_pairs_of_positions(given) == [(1, 2), (3, 4)]
    assert as_positions(given) is None


@pytest.mark.parametrize(
    "given", [2, [(1, 2, 3)], torch.rand(3, 2), torch.rand(3, 4), (torch.rand(2, 3),) * 2]
)
def test_other_values_are_no_pairs(given):
    assert as_pairs_of_positions(given) is None


class Model(nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)

    @property
    def config(self):
        raise AssertionError("properties must not be evaluated")


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.model = inner


ID2LABEL = {1: "dog", 0: "cat"}
CONFIG = SimpleNamespace(id2label=ID2LABEL)


@pytest.mark.parametrize(
    "module",
    [
        Model(id2label={"0": "cat", "1": "dog"}),
        Outer(Model(id2label=ID2LABEL)),
        Model(_hparams={"id2label": ID2LABEL}),
        Model(_hparams={"class_names": ["cat", "dog"]}),
    ],
)
def test_names_are_found_in_modules(module):
    assert names_of(module) == ("cat", "dog")
    assert names_for(None, None, module) == ("cat", "dog")
    assert names_for(None, ["a", "b"], module) == ("a", "b")
    assert names_for(UserList(["x", 1]), ["a", "b"], module) == ("x", "1")


def test_names_are_found_in_the_configuration_of_a_hugging_face_model():
    inner = nn.Linear(1, 1)
    inner.config = CONFIG
    assert names_of(Outer(inner)) == names_of(inner) == ("cat", "dog")
    inner.config = SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1"})
    assert names_of(inner) is None


@pytest.mark.parametrize(
    "module", [Model(), len, Model(id2label={1: "a", 2: "b"}), Model(id2label=["a"])]
)
def test_modules_without_names_have_none(module):
    assert names_of(module) is None


class Endless(Sequence):
    """A sequence that claims to be short."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 2

    def __getitem__(self, position):
        return self.item

    def __iter__(self):
        while True:
            yield self.item


ENDLESS = {
    "class_names": lambda: LocalDataMatrixMonitor(class_names=Endless("cat")),
    "batch": lambda: LocalDataMatrixMonitor(batch=Endless("image")),
    "ranks": lambda: LocalDataMatrixMonitor(ranks=Endless("entropy")),
    "when": lambda: HorizontalPathSnapshot(when=Endless("epoch")),
    "positions": lambda: as_positions(Endless(3)),
    "pairs": lambda: as_pairs_of_positions(Endless((3, 4))),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_sequences_without_an_end_are_refused(monkeypatch, name):
    for limits, limit in ((user_inputs, "MOST_POSITIONS"), (reading, "MOST_CLASSES")):
        monkeypatch.setattr(limits, limit, 1000)
    with pytest.raises(LeafError, match=rf"{name} expects at most \d+ values; got more"):
        ENDLESS[name]()
