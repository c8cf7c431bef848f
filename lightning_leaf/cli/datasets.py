"""Load the data that a command line names: a data module, a data set, or a loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from lightning_leaf.cli.dotted_names import named
from lightning_leaf.cli.failures import user_code
from lightning_leaf.data.image_datasets import DATA_NAMES, load
from lightning_leaf.errors import LeafError, type_name

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
        LeafError: If the name is none of these, or the data set is empty.
        DataUnavailableError: If one of the demo's data sets can be neither read nor downloaded.
    """
    if name in DATA_NAMES:
        return _loader(load(name, data_dir).val, name, batch_size, limit)
    data = _named_data(name)
    with user_code(f"--data expects data that can be read; {name}", "Correct it."):
        return _loader(data, name, batch_size, limit)


def _loader(data: Any, name: str, batch_size: int, limit: int | None) -> DataLoader[Any]:
    if isinstance(data, L.LightningDataModule):
        data = _loader_of_module(data, name)
    options: dict[str, Any] = {}
    if isinstance(data, DataLoader):
        options = {"collate_fn": data.collate_fn, "num_workers": data.num_workers}
        data = data.dataset
    if isinstance(data, IterableDataset) or not (
        hasattr(data, "__getitem__") and hasattr(data, "__len__")
    ):
        raise LeafError(
            "--data expects a LightningDataModule, a DataLoader or a map-style Dataset with a "
            f"length; {name} is or returned {type_name(data)}. Give a function that returns "
            "one of them."
        )
    length = len(data)
    if length == 0:
        raise LeafError(f"--data expects at least one input; the data set of {name} is empty.")
    if limit is not None and limit < length:
        data = Subset(data, range(limit))
    return DataLoader(data, batch_size, **options)


def _named_data(name: str) -> Any:
    """Import the data; if the name is that of a class or function, call it."""
    expected = f"one of {', '.join(DATA_NAMES)}, or a data module, data set or loader"
    imported = named(name, expected)
    is_data = isinstance(imported, (L.LightningDataModule, Dataset, DataLoader))
    if is_data or not callable(imported):
        return imported
    with user_code(
        f"--data expects a class or function without arguments that returns the data; {name}",
        "Give a function without arguments.",
    ):
        return imported()


def _loader_of_module(module: L.LightningDataModule, name: str) -> Any:
    """Return the loader of a data module for prediction, else for validation, else for tests."""
    if overridden := [hook for hook in TRANSFER_HOOKS if _overrides(module, hook)]:
        raise LeafError(
            "--data expects a data module without batch transfer hooks, because only those of the "
            f"classifier are called; {name} overrides {overridden[0]}. Move it to the "
            "LightningModule or into the transform of the data set."
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
                f"{type_name(loader)}. Give a function that returns the data set."
            )
        return loader
    raise LeafError(
        "--data expects a data module with a predict_dataloader, val_dataloader or "
        f"test_dataloader; {name} has none of them."
    )


def _overrides(module: L.LightningDataModule, method: str) -> bool:
    return getattr(type(module), method) is not getattr(L.LightningDataModule, method)
