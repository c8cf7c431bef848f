"""Choosing a few examples costs neither time nor memory that grows with the data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lightning_leaf.data import sampling
from lightning_leaf.data.sampling import choose, positions_of

HUGE = 10**8
COUNT = 32


class Counted(Sequence[Any]):
    """A sequence of some length that counts how often it is read."""

    def __init__(self, length: int) -> None:
        self.length, self.reads = length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: Any) -> Any:
        if not 0 <= position < self.length:
            raise IndexError(position)
        self.reads += 1
        return position


class Endless:
    """A sampler that counts how many positions it yields."""

    def __init__(self) -> None:
        self.yielded = 0

    def __iter__(self) -> Iterator[Any]:
        while True:
            self.yielded += 1
            yield self.yielded - 1


class RepeatedSampler:
    """A sampler of another library that yields the positions of a list."""

    def __init__(self, positions: list[int]) -> None:
        self.positions = positions

    def __iter__(self) -> Iterator[int]:
        return iter(self.positions)


@pytest.fixture(autouse=True)
def no_large_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    randperm = torch.randperm

    def small(count: int, *arguments: Any, **options: Any) -> Any:
        assert count <= sampling.LISTED
        return randperm(count, *arguments, **options)

    monkeypatch.setattr(torch, "randperm", small)


SAMPLERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda data: None,
    "sequential": SequentialSampler,
    "random": RandomSampler,
    "distributed": lambda data: DistributedSampler(data, num_replicas=3, rank=1),
    "subset": SubsetRandomSampler,
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_examples_of_a_huge_data_set_are_chosen_without_reading_it(kind: str) -> None:
    data = Counted(HUGE)
    sampler = SAMPLERS[kind](data)
    chosen = choose(positions_of(data, sampler, None), COUNT, 0)
    assert len(set(chosen)) == COUNT
    assert all(0 <= position < HUGE for position in chosen)
    assert max(chosen) > HUGE // 2 > min(chosen)
    assert data.reads <= COUNT
    batches = None if sampler is None else BatchSampler(sampler, 4, drop_last=False)
    assert choose(positions_of(data, sampler, batches), COUNT, 0) == chosen
    assert choose(positions_of(data, sampler, None), COUNT, 1) != chosen


@pytest.mark.parametrize("length", [2**31, 2**62, 2**63 - 1])
def test_any_length_is_allowed(length: int) -> None:
    chosen = choose(range(length), COUNT, 3)
    assert len(set(chosen)) == COUNT
    assert max(chosen) > length // 2


def test_of_a_sampler_of_another_library_a_limited_number_of_draws_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "LISTED", 5000)
    sampler = Endless()
    assert positions_of(Counted(HUGE), sampler, None) == list(range(5000))
    assert sampler.yielded == 5000
    # A data set without a length.
    monkeypatch.setattr(sampling, "WITHOUT_LENGTH", 3000)
    assert len(positions_of(object(), Endless(), None)) == 3000


@pytest.mark.parametrize("length", [4000, 5000])
def test_of_ordinary_data_sets_four_draws_per_example_count(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Also if they are more than would be listed of a huge one, as in earlier versions."""
    monkeypatch.setattr(sampling, "LISTED", 5000)
    repeated = [position // 3 for position in range(3 * length)]
    data = Counted(length)
    assert positions_of(data, RepeatedSampler(repeated), None) == list(range(length))
    assert positions_of(data, SubsetRandomSampler(repeated), None) == list(range(length))
    sampler = Endless()
    assert positions_of(data, sampler, None) == list(range(4 * length))
    assert sampler.yielded == 4 * length


def test_many_weights_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LISTED", 1000)
    weights = torch.arange(5000) % 2
    positions = positions_of(Counted(5000), WeightedRandomSampler(weights, 3), None)
    assert isinstance(positions, torch.Tensor)
    chosen = choose(positions, 100, 0)
    assert len(set(chosen)) == 100
    assert all(type(position) is int and position % 2 for position in chosen)


def test_a_position_that_is_listed_twice_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LISTED", 100)
    positions = positions_of(Counted(9), SubsetRandomSampler([3, 4] * 100), None)
    assert sorted(choose(positions, 50, 0)) == [3, 4]


@pytest.mark.parametrize("length", [1, 2, 50, 60_000, 1_281_167])
def test_the_choice_from_ordinary_data_sets_is_that_of_a_permutation(length: int) -> None:
    """It is the same as in earlier versions."""
    order = torch.randperm(length, generator=torch.Generator().manual_seed(5))
    assert choose(range(length), COUNT, 5) == order[:COUNT].tolist()


@pytest.mark.parametrize("count", [1, 99, 100, 500, 999, 1000, 2000])
def test_as_many_as_there_are_can_be_chosen(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(sampling, "LISTED", 100)
    chosen = choose(range(1000), count, 0)
    assert len(chosen) == len(set(chosen)) == min(count, 1000)


def test_choices_are_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LISTED", 10)
    counts = torch.zeros(100)
    for seed in range(2000):
        counts[choose(range(100), 20, seed)] += 1
    # Binomial(2000, 0.2): the deviation of 100 counts from 400 is below 5σ = 90.
    assert bool(((counts - 400).abs() < 90).all())
