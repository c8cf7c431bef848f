"""The state of a trainer beyond its public interface, read in this one module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

AVERAGING_CALLBACKS = ("StochasticWeightAveraging", "WeightAveraging", "EMAWeightAveraging")


def callbacks_of(trainer: Any) -> list[Any]:
    """Return all callbacks, in the order in which their hooks run."""
    return list(trainer.callbacks)


def is_training(trainer: Trainer) -> bool:
    """Return whether the trainer is training the weights.

    This excludes validation, sanity checks and tests, and the extra epoch in which stochastic
    weight averaging updates batch-norm statistics.
    """
    return (
        trainer.state.fn == "fit"
        and not trainer.sanity_checking
        and not trainer.fit_loop._skip_backward
    )


def is_ending(trainer: Trainer) -> bool:
    """Return whether the process received SIGTERM: the trainer stops after the current batch."""
    return bool(trainer.received_sigterm)


def steps_taken(trainer: Trainer) -> int:
    """Return the number of optimizer steps: the axis on which Lightning logs the training loss.

    ``trainer.global_step`` counts the steps of each optimizer, so it is larger with several
    optimizers. If a training is resumed within an epoch, this number is one too small in
    ``on_train_start`` and correct from the first batch on.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def examples_per_step(trainer: Trainer, batch: Any) -> int | None:
    """Return how many examples this process uses for one optimizer step.

    This is the batch size times the number of accumulated batches; None if it is unknown because
    the batch holds no tensors.
    """
    tensors = (leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)
    first = next(tensors, None)
    return None if first is None else len(first) * trainer.accumulate_grad_batches


def epochs_completed(trainer: Trainer) -> int:
    """Return the number of epochs whose batches are all processed.

    The last of them counts before its end-of-epoch hooks have run.
    """
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def checkpoints_saved(trainer: Trainer) -> tuple[tuple[Any, Any], ...]:
    """Return a value that changes when a checkpoint callback saves a checkpoint."""
    return tuple(
        (
            getattr(saver, "_last_global_step_saved", None),
            getattr(saver, "_last_checkpoint_saved", None),
        )
        for saver in trainer.checkpoint_callbacks
    )


def averaging_callbacks_after(trainer: Trainer, callback: object) -> list[str]:
    """Return the names of weight-averaging callbacks that are listed after ``callback``.

    At the end of a fit they replace the weights by their average after ``callback`` has run.
    """
    others = callbacks_of(trainer)
    position = next(i for i, other in enumerate(others) if other is callback)
    return [
        type(other).__name__ for other in others[position + 1 :] if _is_averaging_callback(other)
    ]


def _is_averaging_callback(callback: object) -> bool:
    # By name: the callbacks of lightning.pytorch and of pytorch_lightning are different classes.
    return any(kind.__name__ in AVERAGING_CALLBACKS for kind in type(callback).__mro__)


def log_dir(trainer: Any) -> Path | None:
    """Return the folder of the trainer's logs, or None if nothing should be written.

    All processes must call this function.
    """
    directory = trainer.log_dir
    return None if directory is None or trainer.fast_dev_run else Path(directory)


def loaders(trainer: Trainer) -> Iterator[Any]:
    """Yield the data loaders of the trainer, those for validation first, without iterating them."""
    validation = trainer.val_dataloaders
    if validation is None and trainer.enable_validation:
        # The trainer creates them before its first validation, which can be epochs away: with
        # check_val_every_n_epoch, after a resume, or without sanity checks.
        validation = trainer.fit_loop.epoch_loop.val_loop._data_source.dataloader()
    yield from _flat(getattr(validation, "iterables", validation))
    yield from _flat(trainer.train_dataloader)


def transferred(trainer: Trainer, module: LightningModule, batch: Any) -> Any:
    """Return a batch as validation steps receive it, after the batch transfer hooks."""
    stage = trainer.state.stage
    # Hooks may augment training batches only: `if self.trainer.training`.
    trainer.validating = True
    try:
        batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
        return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
    finally:
        trainer.state.stage = stage


def _flat(loaders: Any) -> Iterator[Any]:
    if loaders is None:
        return
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        for loader in loaders:
            yield from _flat(loader)
    else:
        yield loaders
