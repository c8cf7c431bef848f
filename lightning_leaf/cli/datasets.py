"""Load the data that a command line names: a data module, a data set, or a loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from lightning_leaf.cli.dotted_names import named
from lightning_leaf.data.image_datasets import DATA_NAMES, load
from lightning_leaf.errors import LeafError

STAGES = ("predict", "val", "test")
"""The first of these loaders that a data module defines is used."""

TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def loader_of(name: str, data_dir: Path, batch_size: int, limit: int | None) -> DataLoader[Any]:
    """Return a loader of the named data, in the order of the data set.

    Args:
        name: One of the demo's data sets (its validation images), or the dotted path of a
            LightningDataModule, Dataset or DataLoader, or of a class or function without arguments
            that returns one.
        data_dir: Folder of torchvision's data sets.
        batch_size: Inputs per batch.
        limit: Number of inputs to take from the start; None for all.

    Raises:
        LeafError: If the name stands for none of these, or the data set is empty.
        DataUnavailableError: If one of the demo's data sets can be neither read nor downloaded.
    """
    found: Any = load(name, data_dir).val if name in DATA_NAMES else _named_data(name)
    if isinstance(found, L.LightningDataModule):
        found = _loader_of_module(found, name)
    options: dict[str, Any] = {}
    if isinstance(found, DataLoader):
        options = {"collate_fn": found.collate_fn, "num_workers": found.num_workers}
        found = found.dataset
    if isinstance(found, IterableDataset) or not (
        hasattr(found, "__getitem__") and hasattr(found, "__len__")
    ):
        raise LeafError(
            f"--data expects a LightningDataModule, a DataLoader or a map-style Dataset with a "
            f"length; {name} gave {type(found).__name__}. Give a function that returns one of them."
        )
    if len(found) == 0:
        raise LeafError(f"--data expects at least one input; the data set of {name} is empty.")
    if limit is not None and limit < len(found):
        found = Subset(found, range(limit))
    return DataLoader(found, batch_size, **options)


def _named_data(name: str) -> Any:
    """Import the data, and call what is imported if it is a class or function."""
    expected = f"one of {', '.join(DATA_NAMES)}, or a data module, data set or loader"
    found = named(name, expected)
    if isinstance(found, (L.LightningDataModule, Dataset, DataLoader)) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise LeafError(
            f"--data expects a class or function without arguments that returns the data; {name} "
            f"raised {type(error).__name__}: {error}. Give a function without arguments."
        ) from error


def _loader_of_module(module: L.LightningDataModule, name: str) -> Any:
    """Return the loader of a data module for prediction, else for validation, else for tests."""
    if own := [hook for hook in TRANSFER_HOOKS if _overrides(module, hook)]:
        raise LeafError(
            "--data expects a data module without batch transfer hooks, because only those of the "
            f"classifier are called; {name} overrides {own[0]}. Move it to the LightningModule or "
            "into the transform of the data set."
        )
    module.prepare_data()
    for stage in STAGES:
        method = f"{stage}_dataloader"
        if not _overrides(module, method):
            continue
        module.setup("validate" if stage == "val" else stage)
        loader = getattr(module, method)()
        if isinstance(loader, (list, tuple)) and len(loader) == 1:
            loader = loader[0]
        if not isinstance(loader, DataLoader):
            raise LeafError(
                f"--data expects one DataLoader; {method} of {name} returned "
                f"{type(loader).__name__}. Give a function that returns the data set."
            )
        return loader
    raise LeafError(
        "--data expects a data module with a predict_dataloader, val_dataloader or "
        f"test_dataloader; {name} has none of them."
    )


def _overrides(module: L.LightningDataModule, method: str) -> bool:
    return getattr(type(module), method) is not getattr(L.LightningDataModule, method)
