"""Each row is known to be of one example, whatever samplers and collate functions do."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

from lightning_leaf import LeafError
from lightning_leaf.data.batches import read_batch, read_singles
from lightning_leaf.data.padding import rows_of_singles
from lightning_leaf.data.sampling import positions_of
from lightning_leaf.data.targets import Target
from tests.support.data_sets import COUNT, Numbers, ask, loader, pairs_read

Items = list[tuple[Tensor, int]]


def dropping(items: Items) -> Any:
    """Leave out every example of class 1, as functions that skip broken files do."""
    return default_collate([item for item in items if item[1] != 1])


def duplicating(items: Items) -> Any:
    return default_collate([item for item in items for _ in range(2)])


def grouping(items: Items) -> Any:
    return default_collate(sorted(items, key=lambda item: (item[1], -item[0].max())))


def mixing(items: Items) -> Any:
    """MixUp: each example is mixed with another one."""
    images, labels = default_collate(items)
    order = torch.arange(len(images)).roll(1)
    soft = torch.nn.functional.one_hot(labels, 3).float()
    return 0.7 * images + 0.3 * images[order], 0.7 * soft + 0.3 * soft[order]


def mixing_pairs(items: Items) -> Any:
    """Mix an even number of examples only."""
    assert len(items) % 2 == 0, "Batch size should be even"
    return mixing(items)


COLLATE = {
    "drops": dropping,
    "duplicates": duplicating,
    "groups": grouping,
    "mixes": mixing,
    "mixes pairs": mixing_pairs,
}


@pytest.mark.parametrize("collate", COLLATE.values(), ids=COLLATE.keys())
def test_rows_belong_to_their_positions(collate: Any) -> None:
    positions = [9, 2, 17, 5, 11, 6]
    positions = [position for position in positions if collate is not dropping or position % 3 != 1]
    read = pairs_read(loader(Numbers(), collate_fn=collate), positions)
    assert [position for position, _, _ in read] == positions
    assert all(position == number and number % 3 == label for position, number, label in read)
    chosen = pairs_read(loader(Numbers(), collate_fn=collate), count=8)
    assert len(chosen) == 8
    assert all(position == number and number % 3 == label for position, number, label in chosen)
    # Negative control: the rows of one batch are not those that were asked for.
    items = [Numbers()[position] for position in range(6)]
    images, labels = collate(items)[0].flatten(1).amax(1).tolist(), collate(items)[1]
    assert (images, labels.tolist()) != ([0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2])


def test_a_given_position_that_is_left_out_raises_an_error() -> None:
    with pytest.raises(LeafError, match="leaves out the example at position 4"):
        pairs_read(loader(Numbers(), collate_fn=dropping), [3, 4])


def test_without_single_examples_only_a_batch_is_trusted() -> None:
    def many(items: Items) -> Any:
        assert len(items) > 2
        return default_collate(items[::-1])

    read = pairs_read(loader(Numbers(), collate_fn=many))
    assert [position for position, _, _ in read] == [None] * 6
    assert all(number % 3 == label for _, number, label in read)
    with pytest.raises(LeafError, match="accepts single examples"):
        pairs_read(loader(Numbers(), collate_fn=many), [1, 2, 3])

    def never(items: Items) -> Any:
        raise RuntimeError("no batch")

    with pytest.raises(LeafError, match="the collate function raised RuntimeError: no batch"):
        pairs_read(loader(Numbers(), collate_fn=never))


class Sequences(Dataset[Any]):
    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return torch.full((1 + position % 5, 2), float(position + 1)), position % 3


def padded(items: Items) -> Any:
    """Pad sequences and sort them by length."""
    items = sorted(items, key=lambda item: -len(item[0]))
    return pad_sequence([x for x, _ in items], batch_first=True), torch.tensor(
        [y for _, y in items]
    )


def test_padded_sequences_are_those_of_the_joint_batch() -> None:
    positions = [4, 10, 3, 8]
    answer = ask(loader(Sequences(), collate_fn=padded), positions)
    expected, labels = padded([Sequences()[position] for position in positions])
    examples = read_batch(answer.batches[0])
    assert torch.equal(examples.inputs, expected)
    assert examples.labels == tuple(labels.tolist())
    assert answer.positions == [int(x[0, 0]) - 1 for x in expected] == [4, 3, 8, 10]


def test_rows_are_matched_with_examples_by_content_alone() -> None:
    singles = [torch.ones(1, 2, 3), torch.ones(1, 3, 3), torch.full((1, 1, 3), 2.0)]
    rows = pad_sequence([singles[2][0], singles[1][0], singles[0][0]], batch_first=True)
    assert rows_of_singles(rows, singles) == [2, 1, 0]
    assert rows_of_singles(rows.flip(1), singles) == [2, 1, 0]
    assert rows_of_singles(rows + 1, singles) is None
    assert rows_of_singles(rows[:2], singles) is None


class Sizes(Dataset[Any]):
    """Images of three sizes; those of the smaller ones may be of one class."""

    def __init__(self, varied: bool = False) -> None:
        self.varied = varied

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        size = position % 3
        label = position % 4 if size == 2 or not self.varied else 0
        return torch.full((3, 4 + size, 5), float(position)), label


def test_of_images_of_different_sizes_those_of_one_size_are_used() -> None:
    answer = ask(loader(Sizes()), count=6)
    inputs, target = read_singles(answer.batches, None, answer.positions)
    assert len(inputs) == 6
    assert len({x.shape for x in inputs}) == 1
    assert [int(x.max()) for x in inputs] == answer.positions
    assert target.labels == tuple(int(x.max()) % 4 for x in inputs)
    assert "different shapes; the 6 examples used are those of shape (3, " in answer.note
    assert not ask(loader(Numbers())).note
    # Of shapes that are as frequent, one with several classes is used.
    answer = ask(loader(Sizes(varied=True)), count=8)
    assert len(set(read_singles(answer.batches, None, None)[1].labels or ())) > 1
    with pytest.raises(LeafError, match="of one shape at the given positions"):
        ask(loader(Sizes()), [0, 1])


class Batched(Numbers):
    """A data set that makes batches, as those of Hugging Face can."""

    def __getitems__(self, positions: list[int]) -> Any:
        return default_collate([self[position] for position in positions])


def test_data_sets_can_make_batches_themselves() -> None:
    read = pairs_read(loader(Batched(), collate_fn=lambda batch: batch), [7, 3])
    assert read == [(7, 7, 1), (3, 3, 0)]


def test_targets_of_more_examples_are_evidence() -> None:
    class Rarely(Numbers):
        def __getitem__(self, position: int) -> Any:
            x, y = super().__getitem__(position)
            row = torch.nn.functional.one_hot(torch.tensor(y), 3).float()
            return x, row if position != 20 else torch.ones(3)

    answer = ask(loader(Rarely()), [0, 1, 2], evidence=COUNT)
    assert answer.target == Target(None, "labels", 3)
    _, target = read_singles(answer.batches, None, answer.positions)
    assert target.kind == "classes"


def test_more_examples_show_which_numbers_are_positions() -> None:
    class Numbered(Numbers):
        def __getitem__(self, position: int) -> Any:
            x, y = super().__getitem__(position)
            return x, 100 - position, y

    answer = ask(loader(Numbered()), [0, 1], evidence=COUNT)
    _, target = read_singles(answer.batches, None, answer.positions, answer.target.place)
    assert target.labels == (0, 1)
    # Negative control: two examples alone do not tell.
    assert read_singles(answer.batches, None, answer.positions)[1].labels == (100, 99)


class Fixed(Sampler[int]):
    def __init__(self, positions: Any, generator: Any = None) -> None:
        self.positions = positions
        self.iterated = 0

    def __iter__(self) -> Any:
        self.iterated += 1
        return iter(self.positions)


class Endless(Sampler[int]):
    def __iter__(self) -> Any:
        while True:
            yield random.randrange(3, 5)


DATA = list(range(10))
SAMPLERS = {
    "none": (None, DATA),
    "sequential": (SequentialSampler(DATA), DATA),
    "the first few": (SequentialSampler(range(4)), [0, 1, 2, 3]),
    "random": (RandomSampler(DATA, num_samples=2), DATA),
    "subset": (SubsetRandomSampler([7, 2]), [2, 7]),
    "weighted": (WeightedRandomSampler([0, 1, 0, 2, 0, 0, 0, 0, 0, 1], 3), [1, 3, 9]),
    "distributed": (DistributedSampler(DATA, num_replicas=3, rank=1), DATA),
    "another": (Fixed([8, 3, 3, 5]), [3, 5, 8]),
    "tensors": (Fixed(torch.tensor([4, 1])), [1, 4]),
    "keys": (Fixed(["b", "a"]), ["a", "b"]),
    "endless": (Endless(), [3, 4]),
}


@pytest.mark.parametrize(("sampler", "expected"), SAMPLERS.values(), ids=SAMPLERS.keys())
def test_only_positions_that_the_sampler_yields_are_used(sampler: Any, expected: Any) -> None:
    assert list(positions_of(DATA, sampler, None)) == expected
    if sampler is not None:
        batches = BatchSampler(sampler, 2, drop_last=True)
        assert list(positions_of(DATA, sampler, batches)) == expected


def test_samplers_of_the_loader_are_not_iterated() -> None:
    sampler, batches = Fixed([5, 1, 7]), Fixed([[2, 3], [11]])
    for loading in (
        DataLoader(Numbers(), 2, sampler=sampler),
        DataLoader(Numbers(), batch_sampler=batches),
    ):
        read = pairs_read(loading)
        assert {position for position, _, _ in read} in ({1, 5, 7}, {2, 3, 11})
    assert (sampler.iterated, batches.iterated) == (0, 0)
    # Positions that are given are those of the data set.
    assert pairs_read(DataLoader(Numbers(), 2, sampler=sampler), [0]) == [(0, 0, 0)]
    assert list(sampler) == [5, 1, 7]
    assert sampler.iterated == 1
