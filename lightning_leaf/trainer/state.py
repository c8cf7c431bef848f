"""The state of a trainer beyond its public interface, read in this one module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from lightning_leaf.errors import result_of

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


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


def steps_planned(trainer: Trainer) -> int | None:
    """Return the number of optimizer steps of the whole training; None if it is unknown.

    With manual optimization the trainer counts the steps of each optimizer, unlike
    :func:`steps_taken`.
    """
    if not trainer.lightning_module.automatic_optimization:
        return None
    steps = trainer.estimated_stepping_batches
    return int(steps) if 0 < steps < math.inf else None


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


def is_dev_run(trainer: Any) -> bool:
    """Return whether the trainer only tries out a few batches (``fast_dev_run``)."""
    return bool(trainer.fast_dev_run)


def log_dir(trainer: Any) -> str | None:
    """Return the folder or URL of the trainer's logs, or None if nothing should be written.

    Without a logger, or with one that has no folder, it is the trainer's default folder. All
    processes must call this function.
    """
    directory = trainer.log_dir
    return None if is_dev_run(trainer) else str(directory or trainer.default_root_dir)


def tensorboard_folders(trainer: Trainer) -> list[str]:
    """Return the folders and URLs to which the trainer's TensorBoard loggers write.

    A logger that cannot tell its folder is left out.
    """
    folders = (
        result_of(lambda logger: str(logger.log_dir), logger)
        for logger in trainer.loggers
        if any(kind.__name__ == "TensorBoardLogger" for kind in type(logger).__mro__)
    )
    return [folder for folder in folders if folder is not None]


def log_metrics(trainer: Trainer, metrics: Mapping[str, float], step: int) -> None:
    """Log values to all loggers, at one step of the axis on which the training loss is logged.

    Rows of a CSV file contain the epoch too, like the rows that the trainer writes.
    """
    for logger in trainer.loggers:
        # By name: the loggers of lightning.pytorch and of pytorch_lightning are different classes.
        rows = any(kind.__name__ == "CSVLogger" for kind in type(logger).__mro__)
        epoch = {"epoch": trainer.current_epoch} if rows else {}
        logger.log_metrics({**metrics, **epoch}, step=step)


def shows_progress(trainer: Any) -> bool:
    """Return whether this process shows a progress bar that ours does not disturb.

    Bars of tqdm share the terminal. Other bars, such as rich's, redraw their lines at any time.
    """
    bar = trainer.progress_bar_callback
    return bool(
        trainer.is_global_zero
        and getattr(bar, "is_enabled", False)
        and any(kind.__name__ == "TQDMProgressBar" for kind in type(bar).__mro__)
    )


@dataclass(frozen=True)
class LoaderPart:
    """A data loader of the trainer, alone or among others.

    Attributes:
        loader: The loader.
        for_validation: Whether it is one for validation.
        whole: The collection of loaders of which the trainer combines the batches; None if the
            batches of this loader are used alone.
        place: Keys that lead to the loader in this collection.
    """

    loader: Any
    for_validation: bool
    whole: Any = None
    place: tuple[Any, ...] = ()

    def wrap(self, batch: Any) -> Any:
        """Return a batch as the trainer combines it, with the same batch in the other places."""
        return batch if self.whole is None else _filled(self.whole, batch)

    def unwrap(self, combined: Any) -> Any:
        """Return the part of a combined batch that is at the place of this loader."""
        if self.whole is None:
            return combined
        try:
            return reduce(getitem, self.place, combined)
        except (LookupError, TypeError):  # a hook has made something else of it
            return combined


def loader_parts(trainer: Trainer) -> Iterator[LoaderPart]:
    """Yield the data loaders of the trainer, those for validation first, without iterating them."""
    validation = trainer.val_dataloaders
    if validation is None and trainer.enable_validation:
        # The trainer creates them before its first validation, which can be epochs away: with
        # check_val_every_n_epoch, after a resume, or without sanity checks.
        validation = trainer.fit_loop.epoch_loop.val_loop._data_source.dataloader()
    mode: Any = getattr(validation, "_mode", None)
    if mode is None:
        combined = trainer.fit_loop.epoch_loop.val_loop._combined_loader
        mode = getattr(combined, "_mode", "sequential")
    yield from _parts(getattr(validation, "iterables", validation), True, mode)
    mode = getattr(trainer.fit_loop._combined_loader, "_mode", "max_size_cycle")
    yield from _parts(trainer.train_dataloader, False, mode)


def has_validation_data(trainer: Trainer) -> bool:
    """Return whether the trainer has data loaders for validation, without creating them."""
    return bool(trainer.val_dataloaders is not None or trainer.enable_validation)


def _parts(loaders: Any, for_validation: bool, mode: str) -> Iterator[LoaderPart]:
    whole = loaders if mode != "sequential" and _is_collection(loaders) else None
    for place, loader in _flat(loaders, ()):
        yield LoaderPart(loader, for_validation, whole, place)


TRANSFER_HOOKS = "on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"
"""Hooks that :func:`transferred` calls, of the module or of the data module."""


def owners_of_transfer_hooks(trainer: Trainer, module: LightningModule) -> list[Any]:
    """Return the objects whose batch transfer hooks are called: the module or the data module."""
    selector = trainer._data_connector._datahook_selector
    if selector is None:
        return [module]
    owners = map(selector.get_instance, TRANSFER_HOOKS)
    return list({id(owner): owner for owner in owners}.values())


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


def _flat(loaders: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if not _is_collection(loaders):
        if loaders is not None:
            yield place, loaders
        return
    items = loaders.items() if isinstance(loaders, Mapping) else enumerate(loaders)
    for key, each in items:
        yield from _flat(each, (*place, key))


def _filled(collection: Any, batch: Any) -> Any:
    """Return a collection of loaders with a batch in the place of each."""
    if isinstance(collection, Mapping):
        return {key: _filled(each, batch) for key, each in collection.items()}
    if isinstance(collection, (list, tuple)):
        parts = [_filled(each, batch) for each in collection]
        return parts if isinstance(collection, list) else tuple(parts)
    return batch


def _is_collection(loaders: Any) -> bool:
    return isinstance(loaders, (Mapping, list, tuple))
