"""Examples are what the module is fed, with what is known of them, the same ones every time."""

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
            def before(self):  # As trainings that have drawn more or less by then.
                for _ in range(drawn):
                    torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002

        callback = Drawing(choose_inputs, given, seed)
        fit(tmp_path, callback, max_steps=1, validation=loader(dataset), limit_val_batches=1)
        return callback.chosen

    first, again, other = chosen(0, 0), chosen(0, 3), chosen(1, 0)
    assert first.indices == again.indices
    assert torch.equal(first.inputs, again.inputs)
    # Negative control: neither choice nor transform is the same without the seed.
    assert not torch.equal(first.inputs, other.inputs)
    assert (first.indices == other.indices) == isinstance(wanted, list)


def test_the_same_seed_chooses_the_same_pairs(tmp_path):
    validation = loader(Digits(v2.GaussianNoise()))
    first, again, other = (pairs(tmp_path, seed=s, validation=validation) for s in (0, 0, 1))
    for one, same, another in zip(first, again, other, strict=True):
        assert torch.equal(one.inputs, same.inputs)
        assert not torch.equal(one.inputs, another.inputs)


@pytest.mark.parametrize("choose", [choose_inputs, choose_pairs])
def test_choosing_draws_nothing_from_the_streams_of_the_training(tmp_path, choose):
    def streams():
        numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
        return torch.get_rng_state().tolist(), random.getstate(), numpy

    class Watching(InFirstStep):
        def before(self):
            self.streams = streams()

        def after(self):
            assert streams() == self.streams
            torch.rand(1)
            assert streams() != self.streams

    validation = loader(Digits(v2.GaussianNoise()))
    watching = Watching(choose, 4, seed=0)
    fit(tmp_path, watching, max_steps=1, validation=validation, limit_val_batches=1)


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


AS_FED = {
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


@pytest.mark.parametrize(("fed", "options"), AS_FED.values(), ids=AS_FED.keys())
def test_examples_are_what_validation_steps_are_handed(tmp_path, fed, options):
    options = {"validation": loader(Digits())} | options
    examples = inputs(tmp_path, **options)
    images, labels = digits()
    indices = list(examples.indices)
    assert torch.equal(examples.inputs, fed(images[indices]))
    assert examples.labels == tuple(labels[indices].tolist())


def test_the_trainer_goes_on_training_after_a_hook_that_fails(tmp_path):
    class Failing(SmallCNN):
        broken = False

        def on_before_batch_transfer(self, batch, dataloader_idx):
            if self.broken:
                raise RuntimeError("no more")
            return batch

    class Watching(InFirstStep):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            pl_module.broken = True
            with pytest.raises(RuntimeError, match="no more"):
                super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
            pl_module.broken = False
            self.training = trainer.training

    watching = Watching(choose_inputs, 4, seed=0)
    fit(tmp_path, watching, max_steps=1, module=Failing())
    assert watching.training


NORMALIZE = v2.Normalize([0.5], [0.25])
KNOWN = {
    "plausible": (NORMALIZE, SmallCNN, Normalization((0.5,), (0.25,))),
    "none": (None, SmallCNN, None),
    "not what inputs come from": (NORMALIZE, After, None),
    "other channels": (
        v2.Compose([v2.RGB(), v2.Normalize([0.5] * 3, [0.25] * 3), v2.Grayscale()]),
        SmallCNN,
        None,
    ),
}


@pytest.mark.parametrize(("transform", "module", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_names_and_a_normalisation_that_fits_the_inputs_arrive(
    tmp_path, transform, module, expected
):
    options = {"validation": loader(Digits(transform)), "module": module()}
    sources, destinations = pairs(tmp_path, **options)
    for examples in (inputs(tmp_path, **options), sources, destinations):
        assert examples.class_names == Digits.classes
        assert examples.name(0) == f"digit {examples.labels[0]}"
        assert examples.normalization == expected
