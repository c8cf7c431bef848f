"""Examples as validation steps receive them, from the batches that were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_leaf.data.batches import (
    Examples,
    Split,
    read_batch,
    read_singles,
    require_finite,
)
from lightning_leaf.data.normalization import Normalization, input_bounds
from lightning_leaf.data.requests import Answer, Request
from lightning_leaf.data.sources import NoExamples
from lightning_leaf.data.structure import first_rows
from lightning_leaf.data.targets import Target
from lightning_leaf.data.time_limit import time_limit
from lightning_leaf.data.workers import LONGEST
from lightning_leaf.errors import LeafError, of_signal_handler
from lightning_leaf.model.unchanged_attributes import unchanged_attributes
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.state import LoaderPart

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class Reception:
    """Passes batches through the transfer hooks and reads them.

    The hooks are those of the module or of the data module. What they change is restored.

    Args:
        trainer: The trainer.
        module: The module.
        part: The loader to which the batches belong.
        split: Where inputs and labels are in a batch.

    Attributes:
        order: Position of each example; None if it is unknown.
    """

    def __init__(
        self, trainer: Trainer, module: LightningModule, part: LoaderPart, split: Split | None
    ) -> None:
        self._trainer, self._module = trainer, module
        self._part, self._split = part, split
        self.order: list[Any] | None = None

    def examples(self, answer: Answer, request: Request) -> Examples:
        """Return the examples of an answer, with the normalization of the data set.

        Raises:
            LeafError: If there are none, or they contain NaN or infinity.
        """
        with ExitStack() as stack:
            for owner in trainer_state.owners_of_transfer_hooks(self._trainer, self._module):
                stack.enter_context(unchanged_attributes(owner, trainer_state.TRANSFER_HOOKS))
            stack.enter_context(time_limit(LONGEST, "the batch transfer hooks and batch="))
            if answer.joint:
                examples = self._of_whole_batches(answer, request)
            else:
                examples = self._of_singles(answer)
        require_finite(examples.inputs)
        evidence = answer.target.kind
        if examples.targets == "classes" and evidence in ("labels", "values"):
            # These rows look like classes, but others of the data set do not.
            examples = replace(examples, labels=None, targets=evidence)
        return replace(examples, normalization=_plausible(answer.normalization, examples.inputs))

    def _of_singles(self, answer: Answer) -> Examples:
        positions = answer.positions or []
        received = [self._received(batch) for batch in answer.batches]

        def read(batches: list[Any]) -> tuple[list[Tensor], Target]:
            return read_singles(batches, self._split, positions, answer.target.place)

        inputs, target = _first_readable(read, received)
        shape = Counter(x.shape for x in inputs).most_common(1)[0][0]
        rows = [row for row, x in enumerate(inputs) if x.shape == shape]
        self.order = [positions[row] for row in rows]
        joined = Examples(
            torch.cat([inputs[row] for row in rows]),
            targets=target.kind,
            target_columns=target.columns,
            first_rows=first_rows(received[0][0]),
        )
        return replace(
            joined,
            labels=None if target.labels is None else tuple(target.labels[row] for row in rows),
            indices=_indices(self.order, answer),
        )

    def _of_whole_batches(self, answer: Answer, request: Request) -> Examples:
        positions = answer.positions
        received = [self._received(batch) for batch in answer.batches]

        def read(batches: list[Any]) -> list[Examples]:
            return [read_batch(batch, self._split, positions) for batch in batches]

        examples = _joined(_first_readable(read, received))
        examples = replace(examples, first_rows=first_rows(received[0][0]))
        if positions is not None and len(positions) == len(examples):
            self.order = positions
            return replace(examples, indices=_indices(positions, answer))
        return chosen(examples, request)

    def _received(self, batch: Any) -> tuple[Any, Any]:
        """Return the batch after the transfer hooks: the part of this loader, and the whole."""
        whole = self._part.wrap(batch)
        try:
            received = trainer_state.transferred(self._trainer, self._module, whole)
        except Exception as error:
            if self._part.whole is None or of_signal_handler(error) is not None:
                raise
            received = trainer_state.transferred(self._trainer, self._module, batch)
        return self._part.unwrap(received), received


def chosen(examples: Examples, request: Request) -> Examples:
    """Return what a request asks for of examples whose positions are their rows."""
    if request.positions is not None:
        rows = list(request.positions)
        if outside := [row for row in rows if not 0 <= row < len(examples)]:
            raise LeafError(
                f"Expected positions from 0 to {len(examples) - 1}, because the batch has "
                f"{len(examples)} examples; got {outside[0]}."
            )
        return examples.select(rows)
    generator = torch.Generator().manual_seed(request.seed)
    return examples.select(
        torch.randperm(len(examples), generator=generator)[: request.count].tolist()
    )


def _indices(positions: list[Any], answer: Answer) -> tuple[int, ...] | None:
    """Return positions in the data set, unless they are keys, or the order of a stream."""
    numbers = all(isinstance(position, int) for position in positions)
    return tuple(positions) if numbers and not answer.streamed else None


def _first_readable(read: Callable[[list[Any]], Any], received: list[tuple[Any, Any]]) -> Any:
    """Read the parts of the batches; or else the whole batches, to which ``batch=`` may refer."""
    if not received:
        raise NoExamples("Expected at least one example; the collate function leaves out all.")
    try:
        return read([part for part, _ in received])
    except LeafError:
        if all(part is whole for part, whole in received):
            raise
        return read([whole for _, whole in received])


def _joined(batches: list[Examples]) -> Examples:
    """Return the examples of several batches whose inputs have the most frequent shape."""
    shape = Counter(each.inputs.shape[1:] for each in batches).most_common(1)[0][0]
    alike = [each for each in batches if each.inputs.shape[1:] == shape]
    labels: list[int] | None = []
    for each in alike:
        labels = None if labels is None or each.labels is None else [*labels, *each.labels]
    kinds = [each.targets for each in alike]
    kind = next((kind for kind in ("values", "labels") if kind in kinds), kinds[0])
    return replace(
        alike[0],
        inputs=torch.cat([each.inputs for each in alike]),
        labels=None if labels is None else tuple(labels),
        targets=kind,
    )


def _plausible(normalization: Normalization | None, inputs: Tensor) -> Normalization | None:
    """Return the data set's normalization, or None if it does not map these inputs to pixels."""
    if normalization is None or not inputs.is_floating_point():
        return None
    try:
        bounds = input_bounds(inputs, normalization, None)
    except LeafError:  # a later transform has changed the number of channels
        return None
    assert bounds is not None
    slack = 1e-3 * (bounds[1] - bounds[0])
    inside = (inputs >= bounds[0] - slack) & (inputs <= bounds[1] + slack)
    return normalization if bool(inside.all()) else None
