"""What is asked of a data set: some of its examples, and evidence of what its targets are."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from torch import Size

from lightning_leaf.data.batches import Split, read_batch, read_singles
from lightning_leaf.data.dataset_attributes import class_names_of, normalization_of
from lightning_leaf.data.normalization import Normalization
from lightning_leaf.data.padding import rows_of_singles
from lightning_leaf.data.sampling import choose, positions_of
from lightning_leaf.data.structure import numeric_leaves
from lightning_leaf.data.targets import Target
from lightning_leaf.data.workers import At
from lightning_leaf.errors import LeafError

EVIDENCE_SECONDS = 1.0
"""Time spent on examples whose labels alone are wanted."""
MORE_CANDIDATES = 4
"""Examples read for each one wanted, if shapes differ."""
MAX_BATCHES = 64
"""Batches read from a loader whose examples have no positions."""


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


@dataclass
class Answer:
    """What was read.

    Attributes:
        class_names: Names of all classes, if the data set has them.
        normalization: The map from pixels to inputs, if the data set has one.
        positions: Position of each example in the data set; None where it is unknown.
        batches: One batch for each example, or one for all (``joint``).
        joint: Whether there is one batch for all examples.
        target: The targets of these and more examples.
        note: A sentence about examples that were left out; empty if there are none.
    """

    class_names: tuple[str, ...] | None = None
    normalization: Normalization | None = None
    positions: list[Any] | None = None
    batches: list[Any] = field(default_factory=list)
    joint: bool = False
    target: Target = field(default_factory=Target)
    note: str = ""

    @classmethod
    def of(cls, parts: Sequence[dict[str, Any] | None]) -> Answer:
        """Return the answer of which a request yields the parts."""
        answer = cls()
        for part in parts:
            if part is not None:
                batch = part.pop("batch", None)
                if batch is not None:
                    answer.batches.append(batch)
                for name, value in part.items():
                    setattr(answer, name, value)
        return answer


@dataclass(frozen=True)
class Request:
    """A request for examples: a generator function of a :class:`Source`, which it changes.

    Attributes:
        positions: Their positions in the data set; None for a random choice.
        count: Number of examples of a random choice.
        seed: Seed of the choice and of random transforms.
        split: Where inputs and labels are in a batch.
        evidence: Number of examples whose targets are read.
    """

    positions: tuple[Any, ...] | None
    count: int
    seed: int
    split: Split | None = None
    evidence: int = 0

    def __call__(self, source: Source) -> Iterator[dict[str, Any] | None]:
        """Yield the parts of an :class:`Answer`; None reports progress."""
        yield {
            "class_names": _or_none(class_names_of, source.dataset),
            "normalization": _or_none(normalization_of, source.dataset),
        }
        if source.kind in ("batches", "loader"):
            yield from self._batches(source)
        elif source.kind == "stream":
            yield from self._examples(_Stream(source))
        else:
            yield from self._examples(_Positions(source))

    def _examples(self, data: _Stream | _Positions) -> Iterator[dict[str, Any] | None]:
        """Yield examples one by one, so that each row is known to be of one example."""
        if self.positions is not None:
            wanted, spare = list(dict.fromkeys(self.positions)), []
            data.require(wanted)
        else:
            order = data.choose(max(MORE_CANDIDATES * self.count, self.evidence), self.seed)
            wanted, spare = order[: self.count], order[self.count :]
        yield None
        singles: dict[Any, Any] = {}
        dropped: dict[Any, Exception] = {}
        items: dict[Any, Any] = {}
        for position in wanted:
            items[position] = data.item(position)
            try:
                # Some collate functions change the examples.
                singles[position] = data.single(_copied(items[position]))
            except Exception as error:
                dropped[position] = error
            yield None
        singles = {position: batch for position, batch in singles.items() if batch is not None}
        if not singles:
            yield from self._joint(data, items, dropped)
            return
        self._require_all(wanted, singles)
        shapes = self._shapes(singles)
        if len(set(shapes.values())) > 1:
            joint = self._padded(data, [items[position] for position in singles], singles)
            if joint is not None:
                yield joint
                singles = {}
        items.clear()
        if singles:
            yield from self._alike(data, singles, shapes, spare)
        yield from self._evidence(data, singles or dict.fromkeys(wanted))

    def _require_all(self, wanted: list[Any], singles: dict[Any, Any]) -> None:
        missing = [position for position in wanted if position not in singles]
        if self.positions is not None and missing:
            raise LeafError(
                f"Expected an example at each given position; the collate function leaves out the "
                f"example at position {missing[0]}. Choose other positions."
            )

    def _joint(
        self, data: _Stream | _Positions, items: dict[Any, Any], errors: dict[Any, Exception]
    ) -> Iterator[dict[str, Any]]:
        """Yield one batch of all examples. Which row is which example is then unknown."""
        try:
            batch = data.collate_all(list(items.values()))
        except Exception as error:
            raise At("the collate function") from next(iter(errors.values()), error)
        if self.positions is not None and len(self.positions) > 1:
            raise LeafError(
                "Expected a collate function that accepts single examples, so that the row of each "
                "given position is known. Pass the inputs themselves, or give their number."
            )
        yield {"batch": batch, "joint": True}

    def _shapes(self, singles: dict[Any, Any]) -> dict[Any, Size | None]:
        """Return the shape of the input of each example; None before a transfer hook makes it."""
        try:
            return {
                position: read_singles([batch], self.split, None)[0][0].shape
                for position, batch in singles.items()
            }
        except Exception:
            return dict.fromkeys(singles)

    def _padded(
        self, data: _Stream | _Positions, items: list[Any], singles: dict[Any, Any]
    ) -> dict[str, Any] | None:
        """Return a batch of examples of different shapes, if the collate function pads them."""
        try:
            batch = data.collate_all(items)
            rows = read_batch(batch, self.split).inputs
            inputs, _ = read_singles(list(singles.values()), self.split, None)
        except Exception:
            return None
        order = rows_of_singles(rows, inputs)
        if order is None:
            return None
        known = list(singles)
        return {
            "batch": batch,
            "joint": True,
            "positions": [data.known(known[row]) for row in order],
        }

    def _alike(
        self,
        data: _Stream | _Positions,
        singles: dict[Any, Any],
        shapes: dict[Any, Size | None],
        spare: list[Any],
    ) -> Iterator[dict[str, Any] | None]:
        """Yield the examples of the most frequent shape."""
        (shape, _), *others = Counter(shapes.values()).most_common()
        if others and self.positions is not None:
            raise LeafError(
                "Expected inputs of one shape at the given positions; got "
                f"{', '.join(str(tuple(each or ())[1:]) for each in set(shapes.values()))}. "
                "Choose positions of inputs of one shape, or give the number of inputs only."
            )
        chosen = [position for position in singles if shapes[position] == shape]
        for position in spare if others else []:
            if len(chosen) == self.count:
                break
            batch = data.single_or_none(position)
            yield None
            if batch is not None and self._shapes({position: batch})[position] == shape:
                singles[position] = batch
                chosen.append(position)
        if others and shape is not None:
            yield {
                "note": f"The data set has inputs of different shapes; the {len(chosen)} examples "
                f"used are of the most frequent one, {tuple(shape[1:])}."
            }
        for position in chosen:
            yield {"batch": singles[position]}
        yield {"positions": [data.known(position) for position in chosen]}

    def _evidence(
        self, data: _Stream | _Positions, singles: dict[Any, Any]
    ) -> Iterator[dict[str, Any] | None]:
        """Yield the targets of these and more examples, as far as time allows."""
        batches = dict(singles)
        end = time.monotonic() + EVIDENCE_SECONDS
        for position in data.choose(self.evidence, self.seed):
            if time.monotonic() > end:
                break
            if batches.get(position) is None:
                batches[position] = data.single_or_none(position)
                yield None
        known = {position: batch for position, batch in batches.items() if batch is not None}
        try:
            _, target = read_singles(list(known.values()), self.split, list(known))
        except Exception:  # transfer hooks may make another structure
            return
        yield {"target": target}

    def _batches(self, source: Source) -> Iterator[dict[str, Any] | None]:
        """Yield batches whose examples have no positions."""
        wanted = self.count if self.positions is None else max(self.positions) + 1
        read = 0
        for batch in islice(_iterated(source), MAX_BATCHES):
            try:
                read += len(read_batch(batch, self.split))
            except LeafError:  # transfer hooks may make another structure
                read += 1
            yield {"batch": batch, "joint": True}
            if read >= wanted:
                return


class _Positions:
    """Examples of a data set with positions."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._allowed: Sequence[Any] | None = None

    def choose(self, count: int, seed: int) -> list[Any]:
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
        count = len(self._source.dataset)
        if outside := [index for index in positions if not 0 <= index < count]:
            raise LeafError(
                f"Expected positions from 0 to {count - 1}, because the data set has {count} "
                f"examples; got {outside[0]}."
            )

    def item(self, position: Any) -> Any:
        dataset = self._source.dataset
        try:
            # As the workers of a loader do.
            if getattr(dataset, "__getitems__", None):
                return dataset.__getitems__([position])
            return [dataset[position]]
        except Exception as error:
            raise At(f"example {position} of the data set") from error

    def known(self, position: Any) -> Any:
        return position

    def single(self, item: Any) -> Any:
        """Return a batch of one example; None if the collate function leaves it out."""
        if isinstance(item, list) and len(item) == 1 and item[0] is None:
            return None
        collate = self._source.collate
        assert collate is not None
        try:
            batch = collate(item)
        except Exception:
            if not isinstance(item, list):
                raise
            batch = collate([*item, *item])  # some accept only even numbers
        return batch if batch is not None and _rows(batch) != 0 else None

    def single_or_none(self, position: Any) -> Any:
        try:
            return self.single(self.item(position))
        except Exception:
            return None

    def collate_all(self, items: list[Any]) -> Any:
        assert self._source.collate is not None
        dataset = self._source.dataset
        if getattr(dataset, "__getitems__", None) and not all(isinstance(i, list) for i in items):
            raise TypeError("the data set makes batches itself")
        return self._source.collate([each for item in items for each in item])


class _Stream(_Positions):
    """Examples of an iterable data set, numbered in their order."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._iterator = iter(source.dataset)
        self._items: list[Any] = []

    def choose(self, count: int, seed: int) -> list[Any]:
        self._read(count)
        return choose(range(len(self._items)), count, seed)[:count]

    def require(self, positions: list[Any]) -> None:
        self._read(max(positions) + 1)
        count = len(self._items)
        if outside := [index for index in positions if not 0 <= index < count]:
            raise LeafError(
                f"Expected positions from 0 to {count - 1}, because the data set has {count} "
                f"examples; got {outside[0]}."
            )

    def item(self, position: Any) -> Any:
        return [self._items[position]]

    def known(self, position: Any) -> Any:
        return None

    def _read(self, count: int) -> None:
        try:
            self._items += islice(self._iterator, max(0, count - len(self._items)))
        except Exception as error:
            raise At(f"example {len(self._items)} of the data set") from error


def _rows(batch: Any) -> int | None:
    """Return the number of rows of a batch, None if it is unknown."""
    lengths = [len(leaf) for leaf in numeric_leaves(batch).values()]
    return max(lengths) if lengths else None


def _iterated(source: Source) -> Iterator[Any]:
    if source.kind == "loader":
        return iter(source.dataset)
    assert source.collate is not None
    collate = source.collate
    if source.sampler is not None and hasattr(type(source.dataset), "__getitem__"):
        return (collate(source.dataset[position]) for position in source.sampler)
    return (collate(item) for item in source.dataset)


def _copied(item: Any) -> Any:
    try:
        return copy.deepcopy(item)
    except Exception:  # not every example can be copied
        return item


def _or_none(function: Callable[[Any], Any], dataset: Any) -> Any:
    try:
        return function(dataset)
    except Exception:  # properties may fail
        return None
