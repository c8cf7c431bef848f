"""The examples of a trainer from which probes and pairs are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lightning_leaf.callbacks.notices import inform
from lightning_leaf.callbacks.reception import Reception, chosen
from lightning_leaf.callbacks.user_inputs import names_for
from lightning_leaf.data.batches import (
    Examples,
    Split,
    read_finite_batch,
)
from lightning_leaf.data.reading import has_positions, reader_of, reader_of_dataset
from lightning_leaf.data.requests import Answer, Request
from lightning_leaf.data.sources import NoExamples
from lightning_leaf.data.structure import first_rows
from lightning_leaf.data.targets import Target
from lightning_leaf.errors import LeafError
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.state import LoaderPart

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

EVIDENCE = 64
"""Examples of a data set whose targets are read, to judge what they are."""

_seen: WeakKeyDictionary[Any, tuple[Split | None, Target]] = WeakKeyDictionary()
"""The targets that were last read with each loader, and where in its batches they were."""


class ExamplePool:
    """A data set, or else the current batch, from which examples are chosen.

    Data loaders are never iterated and data sets never indexed, because both belong to the
    training: see :mod:`lightning_leaf.data.reading`.

    Args:
        trainer: The trainer.
        module: The module, whose batch transfer hooks are applied.
        batch: The current training batch, if there is one; used if no data set can be indexed.
        dataset: The data set. Default: that of the first validation loader, else that of the first
            training loader whose data set can be indexed.
        split: Where inputs and labels are in a batch.
        class_names: Names of all classes. Default: those of the data set or the module.

    Attributes:
        shapes_differ: Whether examples were left out, because their inputs have another shape.
    """

    def __init__(
        self,
        trainer: Trainer,
        module: LightningModule,
        batch: Any,
        dataset: Any = None,
        *,
        split: Split | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._trainer, self._module = trainer, module
        self._batch, self._dataset = batch, dataset
        self._split, self._class_names = split, class_names
        self.shapes_differ = False
        self._order: list[Any] | None = None

    def take(self, positions: Sequence[int], seed: int) -> Examples:
        """Return the examples at these positions.

        Raises:
            LeafError: If there are no positions, one is outside the data set, or its example
                cannot be read.
        """
        if not positions:
            raise LeafError("Expected at least one position in the data set; got an empty list.")
        distinct = tuple(dict.fromkeys(positions))
        examples = self._read(Request(distinct, len(distinct), seed, self._split, EVIDENCE))
        known = distinct if self._order is None else self._order
        rows = {position: row for row, position in enumerate(known)}
        if len(examples) < len(distinct):
            raise LeafError(
                f"Expected an example at each of {len(distinct)} positions; got {len(examples)} "
                "examples of one shape. Choose other positions."
            )
        return examples.select([rows[position] for position in positions])

    def sample(self, count: int, seed: int) -> Examples:
        """Return ``count`` examples in random order, or all if there are fewer.

        Raises:
            LeafError: If there is neither a data set nor a batch, or examples cannot be read.
        """
        return self._read(Request(None, count, seed, self._split, EVIDENCE))

    def _read(self, request: Request) -> Examples:
        if self._dataset is not None:
            reader = reader_of_dataset(self._dataset, self._shared())
            return self._examples(reader.read(request), request, LoaderPart(None, True))
        first: LeafError | None = None
        without_labels: tuple[Examples, list[Any] | None] | None = None
        for part in sorted(trainer_state.loader_parts(self._trainer), key=_preference):
            if self._batch is not None and not _is_indexable(part) and not part.for_validation:
                continue
            try:
                examples = self._read_part(part, request)
            except LeafError as error:
                first = first or error
                if _is_indexable(part) and not isinstance(error, NoExamples):
                    raise
                continue
            # Of loaders whose batches are combined, the first one with labels.
            if part.whole is None or examples.labels is not None or examples.targets is not None:
                return examples
            without_labels = without_labels or (examples, self._order)
        if without_labels is not None:
            examples, self._order = without_labels
            return examples
        if self._batch is not None:
            return self._from_batch(request)
        raise first or LeafError(
            "Expected a data set that can be indexed, or a training batch, from which to choose "
            "examples; got neither. Pass the inputs themselves, for example probe=x, "
            "pairs=(sources, destinations) or starts=x."
        )

    def _read_part(self, part: LoaderPart, request: Request) -> Examples:
        answer = reader_of(part.loader, self._shared()).read(request)
        with suppress(TypeError):  # loaders without hash or weak references
            _seen[part.loader] = self._split, answer.target
        return self._examples(answer, request, part)

    def _shared(self) -> tuple[Any, ...]:
        """Return objects that a copy of a data set refers to as the original does."""
        known = (self._trainer, self._module, getattr(self._trainer, "datamodule", None))
        return tuple(each for each in known if each is not None)

    def _examples(self, answer: Answer, request: Request, part: LoaderPart) -> Examples:
        """Return the examples of an answer as validation steps receive them."""
        reception = Reception(self._trainer, self._module, part, self._split)
        examples = reception.examples(answer, request)
        self._order = reception.order
        if answer.note:
            self.shapes_differ = True
            inform(answer.note)
        names = names_for(self._class_names, answer.class_names, self._module)
        return replace(examples, class_names=names)

    def _from_batch(self, request: Request) -> Examples:
        self._order = None
        examples = read_finite_batch(self._batch, self._split)
        names = names_for(self._class_names, None, self._module)
        known = replace(examples, class_names=names, first_rows=first_rows(self._batch))
        return chosen(known, request)


def targets_seen(trainer: Trainer, split: Split | None, seed: int, count: int = EVIDENCE) -> Target:
    """Return the targets of a random sample of the data set from which examples are chosen.

    If examples were chosen from the data set before, their targets are returned. Call this function
    inside of :func:`~lightning_leaf.model.quiet.quiet`, like
    :func:`~lightning_leaf.callbacks.probes.choose_inputs`.

    Args:
        trainer: The trainer, whose data sets are used.
        split: Where inputs and labels are in a batch, see
            :func:`~lightning_leaf.data.batches.read_batch`.
        seed: Seed for choosing the sample.
        count: Size of the sample.

    Returns:
        Targets without a kind if there are none, or they cannot be read.
    """
    for part in sorted(trainer_state.loader_parts(trainer), key=_preference):
        if not _is_indexable(part):
            continue
        target = _target_seen(part.loader, split)
        if target is None:
            reader = reader_of(part.loader, (trainer, trainer.lightning_module))
            try:
                target = reader.read(Request(None, 1, seed, split, count)).target
            except LeafError:
                return Target()
            with suppress(TypeError):
                _seen[part.loader] = split, target
        if target.labels is not None or part.whole is None:
            return target
    return Target()


def _target_seen(loader: Any, split: Split | None) -> Target | None:
    try:
        seen, target = _seen.get(loader, (None, None))
    except TypeError:
        return None
    return target if seen == split else None


def _preference(part: LoaderPart) -> tuple[bool, bool]:
    """Order loaders: those for validation, and of them those with positions, first."""
    return not part.for_validation, not _is_indexable(part)


def _is_indexable(part: LoaderPart) -> bool:
    """Return whether the loader makes batches of single items of a data set with positions."""
    return getattr(part.loader, "batch_sampler", None) is not None and has_positions(
        getattr(part.loader, "dataset", None)
    )
