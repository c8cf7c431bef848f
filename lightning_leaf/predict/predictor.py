"""What the predictors share: any classifier inside Lightning's predict loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lightning as L

from lightning_leaf.errors import LeafError
from lightning_leaf.model.chunks import checked_chunk_size
from lightning_leaf.model.interruption import interrupted_when
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.quiet import quiet
from lightning_leaf.predict.columns import Rows
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

SHARDING_STRATEGIES = ("FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy")


class Predictor(L.LightningModule):
    """A module whose predictions are rows of a table about a classifier.

    Every process measures inputs of its own with the whole classifier. The batch transfer hooks of
    a classifier that is a LightningModule are asked, as when it predicts itself.

    Args:
        classifier: Any classifier: nn.Module, LightningModule or function.
        chunk_size: Inputs per forward pass, halved where memory runs out; None for the default.
    """

    def __init__(self, classifier: Callable[..., Any], chunk_size: int | None) -> None:
        super().__init__()
        # Who has no input left to measure waits for the others.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        if not callable(classifier):
            raise LeafError(
                "classifier expects a torch.nn.Module or a function from inputs to logits; got "
                f"{type(classifier).__name__}."
            )
        self.classifier = classifier
        self._chunks = FittingChunks(checked_chunk_size(chunk_size))

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the numbers of a row, beside the classifier and the data."""
        raise NotImplementedError

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a row and their types."""
        raise NotImplementedError

    def measure(self, batch: Any, indices: list[int], chunk_size: int) -> Rows:
        """The rows of a batch, whose examples have these positions in the data set."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Refuse strategies that leave each process but a part of the classifier.

        Raises:
            LeafError: If the trainer has such a strategy.
        """
        kind = type(self.trainer.strategy)
        if any(parent.__name__ in SHARDING_STRATEGIES for parent in kind.__mro__):
            raise LeafError(
                "Measuring a data set expects every process to hold the whole classifier, because "
                f"each has inputs of its own; {kind.__name__} shards it. Use strategy='ddp'."
            )

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Rows:
        """The rows of a batch."""
        indices = positions(self.trainer, batch_idx)
        ending = interrupted_when(lambda: trainer_state.is_ending(self.trainer))
        # Once around all chunks: being quiet copies the weights.
        with ending, quiet(self.classifier):
            return self._chunks.run(lambda size: self.measure(batch, indices, size))

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self._as_classifier("on_before_batch_transfer", batch, dataloader_idx)

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return self._as_classifier("transfer_batch_to_device", batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self._as_classifier("on_after_batch_transfer", batch, dataloader_idx)

    def _as_classifier(self, hook: str, batch: Any, *arguments: Any) -> Any:
        """A hook as the classifier has it, where it is a LightningModule."""
        if isinstance(self.classifier, L.LightningModule):
            return getattr(self.classifier, hook)(batch, *arguments)
        return getattr(super(), hook)(batch, *arguments)


def positions(trainer: Trainer, batch_idx: int) -> list[int]:
    """Where in the data set the examples of the current batch are.

    Raises:
        LeafError: If that cannot be told, because batches are not made of single positions.
    """
    loader = trainer.predict_dataloaders
    if isinstance(loader, (list, tuple)) and len(loader) == 1:
        loader = loader[0]
    seen = getattr(getattr(loader, "batch_sampler", None), "seen_batch_indices", None)
    if not seen:
        raise LeafError(
            "Measuring a data set expects one DataLoader that makes batches of the positions of "
            "a data set with a length, to tell which row is whose; got "
            f"{type(loader).__name__}. Measure one loader after the other, and give a map-style "
            "data set instead of an IterableDataset."
        )
    return list(map(int, seen[batch_idx]))


def require_one_row_each(inputs: int, indices: list[int]) -> None:
    """Raise LeafError if a batch does not hold one input for each of its positions."""
    if inputs != len(indices):
        raise LeafError(
            f"Expected one input for each of the {len(indices)} positions of a batch; got "
            f"{inputs} inputs. Use a collate_fn that keeps every example, and one of each."
        )
