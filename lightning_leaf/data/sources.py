"""Data sets as sources of single examples, each with the position that identifies it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_leaf.data.sampling import choose, positions_of
from lightning_leaf.data.structure import numeric_leaves
from lightning_leaf.data.workers import At
from lightning_leaf.errors import LeafError, of_signal_handler, shown


class NoExamples(LeafError):
    """A data set without examples."""


@dataclass(frozen=True)
class Source:
    """The data set, and how batches are made of its examples.

    Attributes:
        kind: ``"examples"`` of a data set with positions; a ``"stream"`` of examples; a data set
            of ``"batches"``; or any ``"loader"``, which is iterated.
        dataset: The data set or the loader.
        collate: The function that makes a batch of a list of examples.
        sampler: The sampler of the loader.
        batch_sampler: The batch sampler of the loader.
    """

    kind: Literal["examples", "stream", "batches", "loader"]
    dataset: Any
    collate: Callable[[Any], Any] | None = None
    sampler: Any = None
    batch_sampler: Any = None


class Positioned:
    """Examples of a data set with positions."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._allowed: Sequence[Any] | None = None

    def prepare(self, count: int) -> Iterator[None]:
        """Read what has to be read before examples can be chosen; None reports progress."""
        yield None

    def choose(self, count: int, seed: int) -> list[Any]:
        """Return positions of examples in random order, at most ``count``."""
        if self._allowed is None:
            source = self._source
            self._allowed = positions_of(source.dataset, source.sampler, source.batch_sampler)
            if not len(self._allowed):
                raise NoExamples(
                    "Expected a data set with a length of at least one; got "
                    f"{type(source.dataset).__name__} of which no example is used."
                )
        return choose(self._allowed, count, seed)

    def require(self, positions: list[Any]) -> None:
        """Raise a LeafError if a position is outside of the data set."""
        _require_below(len(self._source.dataset), positions)

    def item(self, position: Any) -> Any:
        """Return what the collate function gets for one example."""
        dataset = self._source.dataset
        try:
            # As the workers of a loader do.
            if getattr(dataset, "__getitems__", None):
                return dataset.__getitems__([position])
            return [dataset[position]]
        except Exception as error:
            raise At(f"example {shown(position)} of the data set") from error

    def single(self, item: Any) -> Any:
        """Return a batch of one example; None if the collate function leaves it out."""
        if isinstance(item, list) and len(item) == 1 and item[0] is None:
            return None
        collate = self._source.collate
        assert collate is not None
        try:
            batch = collate(item)
        except Exception as error:
            if not isinstance(item, list) or of_signal_handler(error) is not None:
                raise
            batch = collate([*item, *item])  # some accept only even numbers
        return batch if batch is not None and _rows(batch) != 0 else None

    def single_or_none(self, position: Any) -> Any:
        """Return a batch of one example; None if there is none, or it cannot be read."""
        try:
            return self.single(self.item(position))
        except Exception as error:
            if of_signal_handler(error) is not None:
                raise
            return None

    def collate_all(self, items: list[Any]) -> Any:
        """Return one batch of several items."""
        assert self._source.collate is not None
        dataset = self._source.dataset
        if getattr(dataset, "__getitems__", None) and not all(isinstance(i, list) for i in items):
            raise TypeError("the data set makes batches itself")
        return self._source.collate([each for item in items for each in item])


class Streamed(Positioned):
    """Examples of an iterable data set, numbered in their order."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._iterator = iter(source.dataset)
        self._items: list[Any] = []

    @override
    def prepare(self, count: int) -> Iterator[None]:
        try:
            for item in islice(self._iterator, count):
                self._items.append(item)
                yield None
        except Exception as error:
            raise At(f"example {len(self._items)} of the data set") from error

    @override
    def choose(self, count: int, seed: int) -> list[Any]:
        if not self._items:
            raise NoExamples("Expected an iterable data set with an example; got one without.")
        return choose(range(len(self._items)), count, seed)

    @override
    def require(self, positions: list[Any]) -> None:
        _require_below(len(self._items), positions)

    @override
    def item(self, position: Any) -> Any:
        return [self._items[position]]


def _require_below(count: int, positions: list[Any]) -> None:
    if outside := [index for index in positions if not 0 <= index < count]:
        raise LeafError(
            f"Expected positions from 0 to {count - 1}, because the data set has {count} "
            f"examples; got {outside[0]}."
        )


def _rows(batch: Any) -> int | None:
    """Return the number of rows of a batch, None if it is unknown."""
    lengths = [len(leaf) for leaf in numeric_leaves(batch).values()]
    return max(lengths) if lengths else None


def iterated(source: Source) -> Iterator[Any]:
    """Yield the batches of a loader, or of a data set of batches."""
    if source.kind == "loader":
        if isinstance(source.dataset, DataLoader):
            source.dataset.num_workers = 0  # the reading process may have no children
        return iter(source.dataset)
    assert source.collate is not None
    collate = source.collate
    if source.sampler is not None and hasattr(type(source.dataset), "__getitem__"):
        return (collate(source.dataset[position]) for position in source.sampler)
    return (collate(item) for item in source.dataset)
