"""What is asked of a data set: some of its examples, and evidence of what its targets are."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

from torch import Size, Tensor
from torch.utils._pytree import tree_map

from lightning_leaf.data.batches import Split, read_batch, read_singles
from lightning_leaf.data.dataset_attributes import class_names_of, normalization_of
from lightning_leaf.data.normalization import Normalization
from lightning_leaf.data.padding import rows_of_singles
from lightning_leaf.data.sources import Positioned, Source, Streamed, iterated
from lightning_leaf.data.targets import Target
from lightning_leaf.data.workers import At
from lightning_leaf.errors import LeafError, of_signal_handler

EVIDENCE_SECONDS = 1.0
"""Time spent on examples whose labels alone are wanted."""
MORE_CANDIDATES = 4
"""Examples read for each one wanted, if shapes differ."""
MAX_BATCHES = 64
"""Batches read from a loader whose examples have no positions."""


@dataclass
class Answer:
    """What was read.

    Attributes:
        class_names: Names of all classes, if the data set has them.
        normalization: The map from pixels to inputs, if the data set has one.
        positions: Position of each example in the data set; None where it is unknown.
        batches: One batch for each example, or one for all (``joint``).
        joint: Whether there is one batch for all examples.
        streamed: Whether the positions are those in the order of an iterable data set.
        target: The targets of these and more examples.
        note: A sentence about examples that were left out; empty if there are none.
    """

    class_names: tuple[str, ...] | None = None
    normalization: Normalization | None = None
    positions: list[Any] | None = None
    batches: list[Any] = field(default_factory=list)
    joint: bool = False
    streamed: bool = False
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
            yield {"streamed": True}
            yield from self._examples(Streamed(source))
        else:
            yield from self._examples(Positioned(source))

    def _examples(self, data: Streamed | Positioned) -> Iterator[dict[str, Any] | None]:
        """Yield examples one by one, so that each row is known to be of one example."""
        if self.positions is not None:
            wanted, spare = list(dict.fromkeys(self.positions)), []
            yield from data.prepare(max(wanted) + 1)
            data.require(wanted)
        else:
            yield from data.prepare(self.count)
            order = data.choose(max(MORE_CANDIDATES * self.count, self.evidence), self.seed)
            wanted, spare = order[: self.count], order[self.count :]
        yield None
        singles: dict[Any, Any] = {}
        errors: dict[Any, Exception] = {}
        items: dict[Any, Any] = {}
        replacements = iter(spare)
        for position in chain(wanted, replacements):
            items[position] = data.item(position)
            try:
                # Some collate functions change the examples, others leave some out.
                batch = data.single(_copied(items[position]))
                if batch is not None:
                    singles[position] = batch
            except Exception as error:
                if of_signal_handler(error) is not None:
                    raise
                errors[position] = error
            yield None
            if len(items) >= len(wanted) and (len(singles) >= len(wanted) or not singles):
                break
        if not singles:
            yield from self._joint(data, items, errors)
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
            yield from self._alike(data, singles, shapes, replacements)
        yield from self._evidence(data, singles or dict.fromkeys(wanted))

    def _require_all(self, wanted: list[Any], singles: dict[Any, Any]) -> None:
        missing = [position for position in wanted if position not in singles]
        if self.positions is not None and missing:
            raise LeafError(
                f"Expected an example at each given position; the collate function leaves out the "
                f"example at position {missing[0]}. Choose other positions."
            )

    def _joint(
        self, data: Streamed | Positioned, items: dict[Any, Any], errors: dict[Any, Exception]
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
        self, data: Streamed | Positioned, items: list[Any], singles: dict[Any, Any]
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
        return {"batch": batch, "joint": True, "positions": [known[row] for row in order]}

    def _alike(
        self,
        data: Streamed | Positioned,
        singles: dict[Any, Any],
        shapes: dict[Any, Size | None],
        replacements: Iterator[Any],
    ) -> Iterator[dict[str, Any] | None]:
        """Yield the examples of one shape."""
        shape, *others = self._shapes_by_use(singles, shapes)
        if others and self.positions is not None:
            raise LeafError(
                "Expected inputs of one shape at the given positions; got "
                f"{', '.join(str(tuple(each or ())[1:]) for each in set(shapes.values()))}. "
                "Choose positions of inputs of one shape, or give the number of inputs only."
            )
        chosen = [position for position in singles if shapes[position] == shape]
        for position in islice(replacements, None if others else 0):
            batch = data.single_or_none(position)
            yield None
            if batch is not None and self._shapes({position: batch})[position] == shape:
                singles[position] = batch
                chosen.append(position)
            if len(chosen) == self.count:
                break
        if others and shape is not None:
            yield {
                "note": f"The data set has inputs of different shapes; the {len(chosen)} examples "
                f"used are those of shape {tuple(shape[1:])}."
            }
        for position in chosen:
            yield {"batch": singles[position]}
        yield {"positions": chosen}

    def _shapes_by_use(
        self, singles: dict[Any, Any], shapes: dict[Any, Size | None]
    ) -> list[Size | None]:
        """Return the shapes: those of several classes first, and of these the most frequent."""

        def use(shape: Size | None) -> tuple[bool, int]:
            alike = [batch for position, batch in singles.items() if shapes[position] == shape]
            try:
                labels = read_singles(alike, self.split, None)[1].labels
            except LeafError:
                labels = None
            return len(set(labels or ())) > 1, len(alike)

        found = list(dict.fromkeys(shapes.values()))
        return sorted(found, key=use, reverse=True) if len(found) > 1 else found

    def _evidence(
        self, data: Streamed | Positioned, singles: dict[Any, Any]
    ) -> Iterator[dict[str, Any] | None]:
        """Yield the targets of these and more examples, as far as time allows."""
        batches = dict(singles)
        sample = data.choose(self.evidence, self.seed)
        end = time.monotonic() + EVIDENCE_SECONDS
        for position in sample:
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
        if target.labels is not None and self.positions is not None:
            # Positions that the user chose are no random sample.
            labels = dict(zip(known, target.labels, strict=True))
            random_labels = tuple(labels[position] for position in sample if position in labels)
            target = replace(target, labels=random_labels)
        yield {"target": target}

    def _batches(self, source: Source) -> Iterator[dict[str, Any] | None]:
        """Yield batches whose examples have no positions."""
        wanted = self.count if self.positions is None else max(self.positions) + 1
        read = 0
        for batch in islice(iterated(source), MAX_BATCHES):
            try:
                read += len(read_batch(batch, self.split))
            except LeafError:  # transfer hooks may make another structure
                read += 1
            yield {"batch": batch, "joint": True}
            if read >= wanted:
                return


def _copied(item: Any) -> Any:
    try:
        return tree_map(_copied_leaf, item)
    except Exception:  # not every example can be copied
        return item


def _copied_leaf(leaf: Any) -> Any:
    # A deep copy of a row would copy the whole tensor of which it is a view.
    return leaf.clone() if isinstance(leaf, Tensor) else copy.deepcopy(leaf)


def _or_none(function: Callable[[Any], Any], dataset: Any) -> Any:
    try:
        return function(dataset)
    except Exception:  # properties may fail
        return None
