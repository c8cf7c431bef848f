"""Everything that the callbacks read of a trainer beyond its public interface, in one place."""

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
    """All callbacks, in the order in which their hooks run."""
    return list(trainer.callbacks)


def is_training(trainer: Trainer) -> bool:
    """Whether the weights are being trained: not validation, sanity checks or tests, and not the
    extra epoch in which stochastic weight averaging refreshes batch-norm statistics."""
    return (
        trainer.state.fn == "fit"
        and not trainer.sanity_checking
        and not trainer.fit_loop._skip_backward
    )


def is_ending(trainer: Trainer) -> bool:
    """Whether this process was told to end: the trainer stops after the current batch."""
    return bool(trainer.received_sigterm)


def steps_taken(trainer: Trainer) -> int:
    """Optimizer steps so far: the axis on which Lightning logs the training loss.

    ``trainer.global_step`` counts every optimizer's step, so it runs ahead with several. In
    ``on_train_start`` of a training that is resumed within an epoch the number is still one short:
    ask at the first batch.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def examples_per_step(trainer: Trainer, batch: Any) -> int | None:
    """Of each process: the size of a batch, times the batches that make a step; None if unknown."""
    tensors = (leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)
    first = next(tensors, None)
    return None if first is None else len(first) * trainer.accumulate_grad_batches


def epochs_completed(trainer: Trainer) -> int:
    """Epochs whose batches have all been trained on, also before their last hooks have run."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def checkpoints_saved(trainer: Trainer) -> tuple[tuple[Any, Any], ...]:
    """Changes whenever a checkpoint callback has saved."""
    return tuple(
        (
            getattr(saver, "_last_global_step_saved", None),
            getattr(saver, "_last_checkpoint_saved", None),
        )
        for saver in trainer.checkpoint_callbacks
    )


def averaging_callbacks_after(trainer: Trainer, callback: object) -> list[str]:
    """Callbacks that put averaged weights in place at the end of fit, after ``callback`` ran."""
    others = callbacks_of(trainer)
    position = next(i for i, other in enumerate(others) if other is callback)
    return [
        type(other).__name__
        for other in others[position + 1 :]
        if any(name in AVERAGING_CALLBACKS for name in _class_names(other))
    ]


def _class_names(instance: object) -> list[str]:
    # By name: the callbacks of lightning.pytorch and of pytorch_lightning are different classes.
    return [kind.__name__ for kind in type(instance).__mro__]


def log_dir(trainer: Any) -> Path | None:
    """Where the trainer's logs are; None where nothing is to be written. Asks all ranks."""
    directory = trainer.log_dir
    return None if directory is None or trainer.fast_dev_run else Path(directory)


def loaders(trainer: Trainer) -> Iterator[Any]:
    """The data loaders of the trainer, those for validation first; they are not iterated."""
    validation = trainer.val_dataloaders
    if validation is None and trainer.enable_validation:
        # The trainer asks for them before it validates first, which is epochs away with
        # check_val_every_n_epoch, after a resume or without sanity checks.
        validation = trainer.fit_loop.epoch_loop.val_loop._data_source.dataloader()
    yield from _flat(getattr(validation, "iterables", validation))
    yield from _flat(trainer.train_dataloader)


def transferred(trainer: Trainer, module: LightningModule, batch: Any) -> Any:
    """A batch as the module's validation steps are handed it, after the batch transfer hooks."""
    stage = trainer.state.stage
    # Hooks may augment what is trained on: `if self.trainer.training`.
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
