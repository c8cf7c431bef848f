"""Examples are taken from the right data set, and no loader is iterated."""

from functools import partial
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, Subset, SubsetRandomSampler, TensorDataset

from lightning_leaf import LeafError
from lightning_leaf.callbacks.example_pool import targets_seen
from lightning_leaf.callbacks.pairs import choose_pairs
from lightning_leaf.callbacks.probes import choose_inputs
from lightning_leaf.data.sampling import positions_of
from tests.support.callbacks.choosing import (
    Digits,
    InFirstStep,
    Stream,
    are_from,
    inputs,
    loader,
    pairs,
)
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    fit,
    ignore_lightning,
    train_data,
    validation_data,
)

pytestmark = ignore_lightning


def test_examples_come_from_the_validation_data(tmp_path):
    examples = inputs(tmp_path)
    assert len(set(examples.indices)) == 8
    assert are_from(examples, validation_data())
    assert not are_from(examples, train_data())


def test_examples_come_from_the_training_data_if_there_is_no_validation_data(tmp_path):
    assert are_from(inputs(tmp_path, validation=None), train_data())


class OwnLoaders(L.LightningDataModule):
    def train_dataloader(self):
        return loader(train_data())

    def val_dataloader(self):
        return {"digits": loader(validation_data())}


SOURCES = {
    "loader": lambda: {"validation": loader(validation_data())},
    "combined": lambda: {"validation": CombinedLoader([loader(validation_data())], "sequential")},
    "data module": lambda: {"train": OwnLoaders(), "validation": None},
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_resume_long_before_the_next_validation_chooses_the_same_examples(tmp_path, source):
    options = {"check_val_every_n_epoch": 2, "limit_val_batches": 1, "enable_checkpointing": True}
    first, again = (InFirstStep(choose_inputs, 8, seed=0) for _ in range(2))
    saver = ModelCheckpoint(tmp_path, "middle_of_an_epoch", every_n_train_steps=19)
    fit(tmp_path, first, saver, max_steps=20, **options, **source())
    options["ckpt_path"] = tmp_path / "middle_of_an_epoch.ckpt"
    resumed = fit(tmp_path, again, saver, max_steps=20, **options, **source())
    assert are_from(first.chosen, validation_data())
    assert torch.equal(first.chosen.inputs, again.chosen.inputs)
    # The trainer had not yet created its validation loaders when the examples were chosen.
    assert resumed.val_dataloaders is None
    # Negative control: without validation the examples come from the training data.
    options["limit_val_batches"] = 0
    fit(tmp_path, again, saver, max_steps=20, **options, **source())
    assert are_from(again.chosen, train_data())


STREAMS = {
    "a stream": lambda: loader(Stream()),
    "batches without a sampler": lambda: DataLoader(
        [(x.expand(4, 1, 8, 8), y.expand(4)) for x, y in train_data(4)], batch_size=None
    ),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_validation_data_without_positions_are_used_only_if_there_are_no_others(tmp_path, stream):
    several = [stream(), loader(validation_data())]
    assert are_from(inputs(tmp_path, validation=several, module=TwoLoaders()), validation_data())
    examples = inputs(tmp_path, 3, validation=stream())
    assert examples.indices is None
    first = {tuple(x.flatten().tolist()): int(y) for x, y in train_data(64)}
    found = [first[tuple(x.flatten().tolist())] for x in examples.inputs]
    assert tuple(found) == examples.labels


class TwoLoaders(SmallCNN):
    def validation_step(self, batch, batch_idx, dataloader_idx):
        super().validation_step(batch, batch_idx)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_examples_of_streams_come_from_the_current_batch(tmp_path, stream):
    callback = InFirstStep(choose_inputs, 3, seed=0)
    fit(tmp_path, callback, max_steps=1, train=stream(), validation=None)
    images, labels = callback.batch
    rows = [int((images == x).flatten(1).all(1).nonzero()[0]) for x in callback.chosen.inputs]
    assert callback.chosen.labels == tuple(labels[rows].tolist())
    assert len(callback.chosen) == 3
    assert callback.chosen.indices is None
    with pytest.raises(LeafError, match=f"from 0 to {len(images) - 1}.*got 64"):
        inputs(tmp_path, [1, 64], train=stream(), validation=None)


class CountingLoader(DataLoader):
    """A loader that counts how often it is iterated."""

    iterations = 0

    def __iter__(self):
        self.iterations += 1
        return super().__iter__()


@pytest.mark.parametrize("choose", [choose_inputs, choose_pairs])
@pytest.mark.parametrize("has_validation", [True, False])
def test_loaders_are_not_iterated_and_their_generators_do_not_change(
    tmp_path, choose, has_validation
):
    loaders = [
        CountingLoader(
            data, batch_size=64, shuffle=shuffle, generator=torch.Generator().manual_seed(1)
        )
        for data, shuffle in ((train_data(), True), (validation_data(), False))
    ]

    def state():
        return [(one.iterations, one.generator.get_state().tolist()) for one in loaders]

    class Comparing(InFirstStep):
        def before(self):
            self.state = state()

        def after(self):
            assert state() == self.state
            # Negative control: an iteration changes the state.
            next(iter(loaders[has_validation]))
            assert state() != self.state

    train, validation = loaders[0], loaders[1] if has_validation else None
    comparing = Comparing(choose, 4, seed=0)
    fit(tmp_path, comparing, max_steps=1, train=train, validation=validation)
    assert comparing.state[0][0] == 1


class Combined(SmallCNN):
    """Takes a dict of batches, and changes it as a whole."""

    def training_step(self, batch, batch_idx):
        return super().training_step(batch["known"], batch_idx)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return {name: (1 - part[0], *part[1:]) for name, part in batch.items()}


def test_of_combined_loaders_the_one_with_labels_is_used(tmp_path):
    images, labels = digits()
    unknown = loader(TensorDataset(images[1000:1200]))
    known = CombinedLoader({"unknown": unknown, "known": loader(train_data())}, "max_size_cycle")
    examples = inputs(tmp_path, module=Combined(), train=known, validation=None)
    rows = list(examples.indices)
    assert torch.equal(examples.inputs, 1 - images[rows])
    assert examples.labels == tuple(labels[rows].tolist())


def test_data_that_the_sampler_leaves_out_are_not_validation_data(tmp_path):
    half = SubsetRandomSampler(range(0, 397, 2))
    examples = inputs(tmp_path, 20, validation=loader(validation_data(), sampler=half))
    assert len(examples) == 20
    assert all(index % 2 == 0 for index in examples.indices)
    assert are_from(examples, validation_data())


def test_samplers_of_lightning_distribute_those_of_the_loader():
    wrapped = DistributedSamplerWrapper(SubsetRandomSampler([7, 2, 5]), num_replicas=2, rank=0)
    assert list(positions_of(range(10), wrapped, None)) == [2, 5, 7]


def test_labels_of_a_sample_are_those_of_the_data_set(tmp_path):
    class Seeing(InFirstStep):
        def after(self):
            self.seen = targets_seen(self.trainer, None, seed=0).labels

        def on_train_batch_start(self, trainer, *others):
            self.trainer = trainer
            super().on_train_batch_start(trainer, *others)

    for wanted in (8, digits()[0][:4]):  # with and without examples of the data set
        seeing = Seeing(choose_inputs, wanted, seed=0)
        fit(tmp_path, seeing, max_steps=1, validation=loader(validation_data()))
        assert len(seeing.seen) == 64
        assert set(seeing.seen) == set(range(10))
    assert seeing.chosen.targets is None
    fit(tmp_path, seeing, max_steps=1, train=loader(Stream()), validation=None)
    assert seeing.seen is None


def test_names_of_classes_are_given_or_found(tmp_path):
    class Named(SmallCNN):
        def __init__(self):
            super().__init__()
            self.net.config = SimpleNamespace(id2label={i: f"name {i}" for i in range(10)})

    names = tuple("abcdefghij")
    found = tuple(f"name {i}" for i in range(10))
    images, labels = digits()
    for wanted in (4, (images[:4], labels[:4])):
        assert inputs(tmp_path, wanted, module=Named()).class_names == found
    given = partial(choose_inputs, class_names=names, split=lambda batch: (batch[0], batch[1]))
    assert inputs(tmp_path, choose=given, module=Named()).class_names == names
    given = partial(choose_pairs, class_names=names)
    assert pairs_of(tmp_path, given)[1].class_names == names


def pairs_of(root, choose):
    return inputs(root, 2, choose=choose)


def test_inputs_can_be_tensors_or_a_data_set(tmp_path):
    images, labels = digits()
    assert torch.equal(inputs(tmp_path, images[5:9]).inputs, images[5:9])
    labelled = inputs(tmp_path, (images[5:9], labels[5:9]))
    assert torch.equal(labelled.inputs, images[5:9])
    assert labelled.labels == tuple(labels[5:9].tolist())
    own = Subset(Digits(), range(20, 40))
    from_own = inputs(tmp_path, own)
    assert len(from_own) == 8
    assert are_from(from_own, own)
    assert from_own.class_names == Digits.classes


def test_positions_select_validation_data_in_the_given_order(tmp_path):
    examples = inputs(tmp_path, [396, 0, 7, 0])
    assert examples.indices == (396, 0, 7, 0)
    assert are_from(examples, validation_data())
    sources, destinations = pairs(tmp_path, ((396, 0), [1, 7]))
    assert (sources.indices, destinations.indices) == ((396, 1), (0, 7))
    assert are_from(destinations, validation_data())


@pytest.mark.parametrize(
    ("choose", "wanted"),
    [(choose_inputs, [0, 397]), (choose_inputs, [-1]), (choose_pairs, [(0, 1), (2, 397)])],
)
def test_errors_name_positions_outside_the_data_set(tmp_path, choose, wanted):
    with pytest.raises(LeafError, match=r"from 0 to 396.*got (397|-1)"):
        inputs(tmp_path, wanted, choose=choose)


@pytest.mark.parametrize("choose", [choose_inputs, choose_pairs])
def test_an_empty_list_of_positions_raises_an_error(tmp_path, choose):
    with pytest.raises(LeafError, match="at least one position"):
        inputs(tmp_path, [], choose=choose)


class SizedStream(Stream):
    def __len__(self):
        return 128


@pytest.mark.parametrize("dataset", [Stream(), SizedStream(), TensorDataset(torch.zeros(0, 4))])
@pytest.mark.parametrize("choose", [choose_inputs, choose_pairs])
def test_data_sets_that_cannot_be_indexed_raise_an_error(tmp_path, choose, dataset):
    with pytest.raises(LeafError, match="Expected a data set with a length of at least one"):
        inputs(tmp_path, dataset, choose=choose)
