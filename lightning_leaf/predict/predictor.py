"""The base class of the predictors: any classifier inside Lightning's predict loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lightning as L
from typing_extensions import override

from lightning_leaf.errors import LeafError
from lightning_leaf.model.chunks import checked_chunk_size
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.interruption import interrupted_when
from lightning_leaf.model.memory import FittingChunks
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

    Raises:
        LeafError: If an argument is out of its range.
    """

    def __init__(self, classifier: Callable[..., Any], chunk_size: int | None) -> None:
        super().__init__()
        # A process may have no inputs to measure while other processes have some.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        if not callable(classifier):
            raise LeafError(
                "classifier expects a torch.nn.Module or a function from inputs to logits; got "
                f"{type(classifier).__name__}."
            )
        self.classifier = classifier
        self._chunks = FittingChunks(checked_chunk_size(chunk_size))

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All settings on which the values of a row depend, except for classifier and data."""

    @property
    @abstractmethod
    def column_types(self) -> ColumnTypes:
        """The columns of the table and their types."""

    @abstractmethod
    def measure(
        self, classifier: Callable[..., Any], batch: Any, indices: list[int], chunk_size: int
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

    @override
    def setup(self, stage: str) -> None:
        require_whole_classifier(self.trainer)

    @override
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Columns:
        indices = positions(self.trainer, batch_idx)
        ending = interrupted_when(lambda: trainer_state.is_ending(self.trainer))
        # Opened once for all chunks and retries, because opening copies the weights.
        with ending, measuring(self.classifier) as classifier:
            return self._chunks.run(lambda size: self.measure(classifier, batch, indices, size))

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
    loader = trainer.predict_dataloaders
    if isinstance(loader, (list, tuple)) and len(loader) == 1:
        loader = loader[0]
    batches = getattr(getattr(loader, "batch_sampler", None), "seen_batch_indices", None)
    if not batches:
        raise LeafError(
            "trainer.predict expects one DataLoader over a map-style data set with a length, "
            "because each row contains the position of its input; got "
            f"{type(loader).__name__}. Call trainer.predict once for each loader, and use a "
            "map-style data set instead of an IterableDataset."
        )
    return list(map(int, batches[batch_idx]))


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
