"""Trainings of one step, in which examples are chosen as the callbacks choose them."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_leaf.callbacks.pairs import choose_pairs
from lightning_leaf.callbacks.probes import choose_inputs
from lightning_leaf.data.batches import Examples
from lightning_leaf.model.quiet import quiet
from tests.support.callbacks.training import digits, fit, train_data


class Digits(Dataset):
    """The digits with class names and a transform."""

    classes = tuple(f"digit {i}" for i in range(10))

    def __init__(self, transform=None):
        self.transform = transform or torch.nn.Identity()

    def __len__(self):
        return 1797

    def __getitem__(self, index):
        images, labels = digits()
        return self.transform(images[index]), labels[index]


class Stream(IterableDataset):
    """An iterable data set of the first digits."""

    def __iter__(self):
        return iter(train_data(128))


class InFirstStep(Callback):
    """A callback that chooses in the first hook that receives a batch, as the LEAF callbacks do."""

    def __init__(self, choose, count, seed):
        self.choose, self.count, self.seed = choose, count, seed

    def on_train_start(self, trainer, pl_module):
        self.chosen = None

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.chosen is not None:
            return
        self.batch = batch
        self.before()
        with quiet(pl_module):
            self.chosen = self.choose(self.count, trainer, pl_module, batch, seed=self.seed)
        self.after()

    def before(self): ...
    def after(self): ...


def inputs(root, count=8, *, choose=choose_inputs, seed=0, **options):
    """Return the inputs chosen in a training of one step."""
    callback = InFirstStep(choose, count, seed)
    fit(root, callback, max_steps=1, limit_val_batches=1, **options)
    return callback.chosen


def pairs(root, count=8, **options):
    """Return the pairs chosen in a training of one step."""
    return inputs(root, count, choose=choose_pairs, **options)


def loader(dataset, **options):
    return DataLoader(dataset, **({"batch_size": 64} | options))


def are_from(examples: Examples, dataset) -> bool:
    """Return whether the examples are those at their positions in the data set."""
    items = [dataset[i] for i in examples.indices]
    return torch.equal(examples.inputs, torch.stack([x for x, _ in items])) and (
        examples.labels == tuple(int(y) for _, y in items)
    )
