"""Choosing examples does not change the objects whose batch transfer hooks are called."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import LocalDataMatrixMonitor
from lightning_leaf.callbacks import reception
from tests.support.callbacks.choosing import Digits, inputs, loader
from tests.support.callbacks.training import SmallCNN, digits, fit, ignore_lightning

pytestmark = ignore_lightning

calls = 0


class Augmentation:
    """Draws from generators of its own, and keeps state of every kind."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.numpy = np.random.default_rng(0)
        self.sizes = [0]
        self.norm = nn.BatchNorm2d(1)

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        self.norm(images)
        noise = torch.rand(images.shape, generator=self.generator)
        return images + 0.3 * noise + 0.1 * self.numpy.random()

    def state(self) -> tuple[Any, ...]:
        numbers = torch.rand(3, generator=self.generator).tolist(), self.numpy.random()
        mean = self.norm.running_mean
        assert mean is not None
        return *numbers, len(self.sizes), mean.item()


class Augmenting(L.LightningDataModule):
    """A data module that augments each batch in a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.augment = Augmentation()
        self.batches = 0
        self.data = Digits()  # a data set, which belongs to the training

    def train_dataloader(self) -> Any:
        return loader(self.data, generator=torch.Generator().manual_seed(0), shuffle=True)

    def val_dataloader(self) -> Any:
        return loader(self.data)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        global calls
        calls += 1
        self.batches += 1
        return self.augment(batch[0]), batch[1]


class AugmentingModule(SmallCNN):
    """A module that augments each batch in a hook, by an object to which only the hook refers."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        global calls
        calls += 1
        return SHARED.augment(batch[0]), batch[1]


class Holder:
    """A class whose attribute is the augmentation."""

    augment: Augmentation


SHARED = Holder()


def trained(root: Path, owner: str, *callbacks: Any) -> tuple[list[Tensor], tuple[Any, ...]]:
    """Return the weights after a training, and the state of the augmentation."""
    global calls
    calls = 0
    SHARED.augment = Augmentation()
    L.seed_everything(0, verbose=False)
    if owner == "data module":
        data: Augmenting | None = Augmenting()
        augment, module, loaders = data.augment, SmallCNN(), {"train": data, "validation": None}
    else:
        data, augment, module = None, SHARED.augment, AugmentingModule()
        loaders = {"validation": loader(Digits())}
    fit(root, *callbacks, module=module, limit_val_batches=1, **loaders)
    batches = None if data is None else data.batches
    return [*module.state_dict().values()], (*augment.state(), calls, batches)


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("owner", ["data module", "module"])
def test_hooks_leave_no_trace_in_their_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, guarded: bool
) -> None:
    weights, state = trained(tmp_path / "without", owner)
    if not guarded:  # negative control
        monkeypatch.setattr(reception, "unchanged_attributes", lambda *_: nullcontext())
    monitor = LocalDataMatrixMonitor(probe=4, every_n_steps=2, on_error="raise")
    watched, watched_state = trained(tmp_path / "with", owner, monitor)
    assert monitor.history["step"]
    same = all(map(torch.equal, weights, watched))
    assert (same, state == watched_state) == (guarded, guarded)


def test_examples_are_read_before_the_state_is_restored(tmp_path: Path) -> None:
    """A hook can return a tensor that its owner keeps, here one of zeros."""

    class Keeping(Augmenting):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            if not hasattr(self, "kept") or len(self.kept) != len(batch[0]):
                self.kept = torch.zeros(len(batch[0]), 1, 8, 8)
            self.kept.copy_(batch[0])
            return self.kept, batch[1]

    data = Keeping()
    data.kept = torch.zeros(1, 1, 8, 8)
    examples = inputs(tmp_path, 1, train=data, validation=None)
    assert examples.inputs.abs().sum() > 0
    assert torch.equal(examples.inputs, digits()[0][list(examples.indices)])


def test_data_sets_of_a_data_module_are_left_alone() -> None:
    data = Augmenting()
    with reception.unchanged_attributes(data, ["on_after_batch_transfer"]):
        data.data.read = True
        data.batches += 1
    assert data.data.read
    assert data.batches == 0
