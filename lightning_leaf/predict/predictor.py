"""The base class of the predictors: any classifier inside Lightning's predict loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning as L
from torch import nn
from typing_extensions import override

from lightning_leaf.data.batches import Examples, Split
from lightning_leaf.data.dataset_attributes import class_names_of
from lightning_leaf.data.evidence import Judgement
from lightning_leaf.errors import LeafError
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import interrupted_when
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.monitoring.reading import Reading
from lightning_leaf.predict.columns import Columns, ColumnTypes
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.strategies import require_whole_classifier

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


class Predictor(L.LightningModule, ABC):
    """A module whose predictions are the rows of a table about a classifier.

    Each process measures different inputs with the whole classifier. If the classifier is a
    LightningModule, its batch transfer hooks are used, as in its own predictions.

    Args:
        classifier: Any classifier: nn.Module, LightningModule or function.
        chunk_size: Inputs per forward pass, halved each time memory runs out; None for the
            default.
        forward: See :class:`~lightning_leaf.monitoring.reading.Reading`, as the next three.
        batch: Where inputs and labels are in a batch.
        likelihood: What the scores mean; None for exclusive classes.
        class_names: Names of all classes; None if unknown.
        exact: Whether to use all classes; None for up to 160.

    Raises:
        LeafError: If an argument is out of its range.
    """

    def __init__(
        self,
        classifier: Callable[..., Any],
        chunk_size: int | None,
        *,
        forward: Forward | None,
        batch: Split | None,
        likelihood: Likelihood | None,
        class_names: Sequence[str] | None,
        exact: bool | None,
    ) -> None:
        super().__init__()
        # A process may have no inputs to measure while other processes have some.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        # A module that is not callable by itself may have a part that is: forward="backbone".
        if not (callable(classifier) or isinstance(classifier, nn.Module)):
            raise LeafError(
                "classifier expects a torch.nn.Module or a function from inputs to logits; got "
                f"{type(classifier).__name__}."
            )
        self.classifier = classifier
        self._chunks = FittingChunks(chunk_size)
        self._reading = Reading(forward, batch, likelihood, class_names)
        self._exact = exact
        self._judgement: Judgement | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """All settings on which the values of a row depend, except for classifier and data."""
        reading = self._reading
        given = {
            "forward": _name(reading.forward),
            "batch": _name(reading.batch),
            "likelihood": reading.likelihood,
            "class_names": reading.class_names and list(reading.class_names),
            "exact": self._exact,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def likelihood(self) -> Likelihood:
        """What the scores mean. It decides the columns of the table."""
        return self._reading.likelihood or "categorical"

    @property
    @abstractmethod
    def column_types(self) -> ColumnTypes:
        """The columns of the table and their types."""

    @abstractmethod
    def measure(
        self, classifier: Callable[..., Any], batch: Any, indices: list[int], chunk_size: int | None
    ) -> Columns:
        """Measure one batch.

        Args:
            classifier: The classifier, or the same one opened by
                :func:`~lightning_leaf.model.classifier.measuring`.
            batch: A batch of the data set.
            indices: The position of each example of the batch in the data set.
            chunk_size: Inputs per forward pass.

        Returns:
            The columns of the table for this batch.
        """

    @abstractmethod
    def examples(self, batch: Any, indices: list[int]) -> Examples:
        """Return the examples of a batch whose targets show what the scores mean."""

    @override
    def setup(self, stage: str) -> None:
        require_whole_classifier(self.trainer)
        self._judgement = None

    @override
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Columns:
        indices = positions(self.trainer, batch_idx)
        with interrupted_when(lambda: trainer_state.is_ending(self.trainer)):
            self._require_meaning(self._with_class_names(self.examples(batch, indices)))
            # Opened once for all chunks and retries, because opening copies the weights.
            with self._reading.opened(self.classifier, self._judgement) as classifier:
                return self._chunks.run(lambda size: self.measure(classifier, batch, indices, size))

    def _with_class_names(self, examples: Examples) -> Examples:
        if examples.class_names is not None:
            return examples
        dataset = getattr(_loader(self.trainer), "dataset", None)
        return replace(examples, class_names=class_names_of(dataset))

    def _require_meaning(self, examples: Examples) -> None:
        """Check that the rows mean what their columns say.

        Raises:
            LeafError: If the local data matrix of the scores has no meaning, or if the targets are
                several labels per input although the scores are read as exclusive classes.
        """
        if self._judgement is None:
            # The first examples are no random sample: data sets are often sorted by class.
            self._judgement = self._reading.judge(self.classifier, examples, self._chunks)
        judged = None if self._judgement is None else self._judgement.likelihood
        if self._reading.likelihood is None and (
            examples.targets == "labels" or judged == "bernoulli"
        ):
            raise LeafError(
                f"{type(self).__name__} expects the targets of exclusive classes; got several "
                "labels per input. The likelihood decides the columns of the table. Pass "
                "likelihood='bernoulli' for independent labels, or likelihood='categorical' for "
                "exclusive classes."
            )

    @override
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self._transfer_hook("on_before_batch_transfer", batch, dataloader_idx)

    @override
    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return self._transfer_hook("transfer_batch_to_device", batch, device, dataloader_idx)

    @override
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self._transfer_hook("on_after_batch_transfer", batch, dataloader_idx)

    def _transfer_hook(self, name: str, batch: Any, *arguments: Any) -> Any:
        """Call a hook of the classifier if it is a LightningModule, else the default hook."""
        if isinstance(self.classifier, L.LightningModule):
            return getattr(self.classifier, name)(batch, *arguments)
        return getattr(super(), name)(batch, *arguments)


def positions(trainer: Trainer, batch_idx: int) -> list[int]:
    """Return the positions in the data set of the examples of the current batch.

    Raises:
        LeafError: If the loader does not provide the positions.
    """
    loader = _loader(trainer)
    batches = getattr(getattr(loader, "batch_sampler", None), "seen_batch_indices", None)
    if not batches:
        raise LeafError(
            "trainer.predict expects one DataLoader over a map-style data set with a length, "
            "because each row contains the position of its input; got "
            f"{type(loader).__name__}. Call trainer.predict once for each loader, and use a "
            "map-style data set instead of an IterableDataset."
        )
    return list(map(int, batches[batch_idx]))


def _loader(trainer: Trainer) -> Any:
    loader = trainer.predict_dataloaders
    return loader[0] if isinstance(loader, (list, tuple)) and len(loader) == 1 else loader


def require_one_input_per_position(inputs: int, indices: list[int]) -> None:
    """Check that a batch contains one input for each of its positions.

    Raises:
        LeafError: If the numbers differ.
    """
    if inputs != len(indices):
        raise LeafError(
            f"A batch expects one input for each of its {len(indices)} positions in the data set; "
            f"got {inputs} inputs. Use a collate_fn that returns each example exactly once."
        )


def _name(value: Any) -> Any:
    """Return a setting as JSON data; functions are identified by name only."""
    if value is None or isinstance(value, (str, tuple)):
        return list(value) if isinstance(value, tuple) else value
    return getattr(value, "__qualname__", type(value).__qualname__)
