"""Examples are the inputs that the module receives, with class names, the same in each fit."""

import random

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from torchvision.transforms import v2

from lightning_leaf.callbacks.pairs import choose_pairs
from lightning_leaf.callbacks.probes import choose_inputs
from lightning_leaf.data.normalization import Normalization
from tests.support.callbacks.choosing import Digits, InFirstStep, inputs, loader, pairs
from tests.support.callbacks.training import SmallCNN, digits, fit, ignore_lightning

pytestmark = ignore_lightning

RANDOM = {
    "torch": v2.GaussianNoise(),
    "numpy": lambda x: x + np.random.rand(),  # noqa: NPY002
    "python": lambda x: x + random.random(),
}


@pytest.mark.parametrize("transform", RANDOM.values(), ids=RANDOM.keys())
@pytest.mark.parametrize("wanted", [4, [3, 1, 4], Digits], ids=["count", "list", "data set"])
def test_the_same_seed_chooses_the_same_examples_through_random_transforms(
    tmp_path, transform, wanted
):
    def chosen(seed, drawn):
        dataset = Digits(transform)
        given = Digits(transform) if wanted is Digits else wanted

        class Drawing(InFirstStep):
            def before(self):  # trainings may have drawn different amounts of random numbers
                for _ in range(drawn):
                    torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002

        callback = Drawing(choose_inputs, given, seed)
        fit(tmp_path, callback, max_steps=1, validation=loader(dataset), limit_val_batches=1)
        return callback.chosen

    first, again, other = chosen(0, 0), chosen(0, 3), chosen(1, 0)
    assert first.indices == again.indices
    assert torch.equal(first.inputs, again.inputs)
    # Negative control: another seed changes the choice and the transforms.
    assert not torch.equal(first.inputs, other.inputs)
    assert (first.indices == other.indices) == isinstance(wanted, list)


def test_the_same_seed_chooses_the_same_pairs(tmp_path):
    validation = loader(Digits(v2.GaussianNoise()))
    first, again, other = (pairs(tmp_path, seed=s, validation=validation) for s in (0, 0, 1))
    for one, same, another in zip(first, again, other, strict=True):
        assert torch.equal(one.inputs, same.inputs)
        assert not torch.equal(one.inputs, another.inputs)


@pytest.mark.parametrize("choose", [choose_inputs, choose_pairs])
def test_choosing_does_not_change_the_global_random_streams(tmp_path, choose):
    def streams():
        numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
        return torch.get_rng_state().tolist(), random.getstate(), numpy

    class Comparing(InFirstStep):
        def before(self):
            self.streams = streams()

        def after(self):
            assert streams() == self.streams
            torch.rand(1)
            assert streams() != self.streams

    validation = loader(Digits(v2.GaussianNoise()))
    comparing = Comparing(choose, 4, seed=0)
    fit(tmp_path, comparing, max_steps=1, validation=validation, limit_val_batches=1)


def doubled(items):
    images, labels = default_collate(items)
    return 2 * images, labels


def plus_one(self, batch, dataloader_idx):
    return batch[0] + 1, batch[1]


def noise_while_training(self, batch, dataloader_idx):
    assert self.trainer.training or self.trainer.evaluating or self.trainer.sanity_checking
    return (batch[0] + torch.rand(()) if self.trainer.training else batch[0], batch[1])


Before = type("Before", (SmallCNN,), {"on_before_batch_transfer": plus_one})
After = type("After", (SmallCNN,), {"on_after_batch_transfer": plus_one})
Augmenting = type("Augmenting", (SmallCNN,), {"on_after_batch_transfer": noise_while_training})


class DataModule(L.LightningDataModule):
    on_before_batch_transfer = plus_one

    def train_dataloader(self):
        return loader(Digits())

    val_dataloader = train_dataloader


RECEIVED = {
    "collate_fn": (lambda x: 2 * x, {"validation": loader(Digits(), collate_fn=doubled)}),
    "before transfer": (lambda x: x + 1, {"module": Before()}),
    "after transfer": (lambda x: x + 1, {"module": After()}),
    "all of them": (
        lambda x: 2 * x + 1,
        {"module": After(), "validation": loader(Digits(), collate_fn=doubled)},
    ),
    "data module": (lambda x: x + 1, {"train": DataModule(), "validation": None}),
    "augmentation of training batches": (lambda x: x, {"module": Augmenting()}),
}


@pytest.mark.parametrize(("received", "options"), RECEIVED.values(), ids=RECEIVED.keys())
def test_examples_are_the_inputs_of_validation_steps(tmp_path, received, options):
    options = {"validation": loader(Digits())} | options
    examples = inputs(tmp_path, **options)
    images, labels = digits()
    indices = list(examples.indices)
    assert torch.equal(examples.inputs, received(images[indices]))
    assert examples.labels == tuple(labels[indices].tolist())


def test_the_trainer_is_in_the_training_stage_after_a_hook_fails(tmp_path):
    class Failing(SmallCNN):
        broken = False

        def on_before_batch_transfer(self, batch, dataloader_idx):
            if self.broken:
                raise RuntimeError("the hook fails")
            return batch

    class Comparing(InFirstStep):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            pl_module.broken = True
            with pytest.raises(RuntimeError, match="the hook fails"):
                super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
            pl_module.broken = False
            self.training = trainer.training

    comparing = Comparing(choose_inputs, 4, seed=0)
    fit(tmp_path, comparing, max_steps=1, module=Failing())
    assert comparing.training


NORMALIZE = v2.Normalize([0.5], [0.25])
KNOWN = {
    "plausible": (NORMALIZE, SmallCNN, Normalization((0.5,), (0.25,))),
    "none": (None, SmallCNN, None),
    "not in the range of the inputs": (NORMALIZE, After, None),
    "other channels": (
        v2.Compose([v2.RGB(), v2.Normalize([0.5] * 3, [0.25] * 3), v2.Grayscale()]),
        SmallCNN,
        None,
    ),
}


@pytest.mark.parametrize(("transform", "module", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_examples_carry_class_names_and_a_normalization_that_fits_the_inputs(
    tmp_path, transform, module, expected
):
    options = {"validation": loader(Digits(transform)), "module": module()}
    sources, destinations = pairs(tmp_path, **options)
    for examples in (inputs(tmp_path, **options), sources, destinations):
        assert examples.class_names == Digits.classes
        assert examples.name(0) == f"digit {examples.labels[0]}"
        assert examples.normalization == expected
