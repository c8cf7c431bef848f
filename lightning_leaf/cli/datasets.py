"""The data of a command line: a data module, a data set, a loader, or what makes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from lightning_leaf.cli.dotted_names import named
from lightning_leaf.data.image_datasets import DATA_NAMES, load
from lightning_leaf.errors import LeafError

STAGES = ("predict", "val", "test")
"""Whose loader of a data module is taken: the first that it has."""

TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def loader_of(name: str, data_dir: Path, batch_size: int, limit: int | None) -> DataLoader[Any]:
    """Batches of what is named, in the order of the data set.

    Args:
        name: One of the demo's data sets (its held-out part), or the dotted path of a
            LightningDataModule, Dataset or DataLoader, or of a class or function that makes one
            without arguments.
        data_dir: Where torchvision's data sets are.
        batch_size: Inputs of a batch.
        limit: Take only the first ones.

    Raises:
        LeafError: If it is none of these, or holds no example.
        DataUnavailableError: If one of the demo's data sets cannot be had.
    """
    found: Any = load(name, data_dir).val if name in DATA_NAMES else _made(name)
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
            f"Expected {name} to give a LightningDataModule, a DataLoader or a Dataset with a "
            f"length; it gave {type(found).__name__}."
        )
    if len(found) == 0:
        raise LeafError(f"Expected data in {name}; the data set is empty.")
    if limit is not None and limit < len(found):
        found = Subset(found, range(limit))
    return DataLoader(found, batch_size, **options)


def _made(name: str) -> Any:
    what = f"data (one of {', '.join(DATA_NAMES)}, a data module, data set or factory)"
    found = named(name, what)
    if isinstance(found, (L.LightningDataModule, Dataset, DataLoader)) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise LeafError(
            f"Expected {name} to make {what} without arguments; it raised "
            f"{type(error).__name__}: {error}. Name a function without arguments that does."
        ) from error


def _loader_of_module(module: L.LightningDataModule, name: str) -> Any:
    """The data module's loader for prediction, else for validation, else for tests."""
    if own := [hook for hook in TRANSFER_HOOKS if _overrides(module, hook)]:
        raise LeafError(
            f"Expected {name} to leave the transfer of batches to the classifier; it has its own "
            f"{own[0]}, without which the classifier would see other inputs. Move it to the "
            "LightningModule or into the data set's transform."
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
                f"Expected {method} of {name} to give one DataLoader; it gave "
                f"{type(loader).__name__}. Name a function that gives the data set."
            )
        return loader
    raise LeafError(
        f"Expected {name} to have a predict_dataloader, val_dataloader or test_dataloader; it has "
        "none of them."
    )


def _overrides(module: L.LightningDataModule, method: str) -> bool:
    return getattr(type(module), method) is not getattr(L.LightningDataModule, method)
