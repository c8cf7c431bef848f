"""Pairs join examples of different classes and are spread over all classes."""

from collections import Counter

import pytest
import torch

from lightning_leaf import LeafError
from lightning_leaf.callbacks.pairs import pair_up
from lightning_leaf.data.batches import Examples
from tests.support.callbacks.choosing import are_from, pairs
from tests.support.callbacks.training import digits, ignore_lightning, validation_data

pytestmark = ignore_lightning


def test_pairs_can_be_tensors(tmp_path):
    images, labels = digits()
    sources, destinations = pairs(tmp_path, (images[:3], images[3:6]))
    assert torch.equal(sources.inputs, images[:3])
    assert torch.equal(destinations.inputs, images[3:6])
    for given in (images[:6], images[:7]):
        sources, destinations = pairs(tmp_path, given)
        assert torch.equal(sources.inputs, images[0:6:2])
        assert torch.equal(destinations.inputs, images[1:6:2])
    for given in (labels[:40], torch.nn.functional.one_hot(labels[:40])):
        sources, destinations = pairs(tmp_path, (images[:40], given))
        assert len(sources) == 8
        assert all(a != b for a, b in zip(sources.labels, destinations.labels, strict=True))


def test_unequal_numbers_of_sources_and_destinations_raise_an_error(tmp_path):
    images, _ = digits()
    with pytest.raises(
        LeafError, match="one destination for each source; got 3 sources and 2 destinations"
    ):
        pairs(tmp_path, (images[:3], images[3:5]))


@pytest.mark.parametrize("count", [1, 8, 10, 25])
def test_pairs_join_different_classes_and_are_spread_over_them(tmp_path, count):
    sources, destinations = pairs(tmp_path, count)
    assert len(sources) == len(destinations) == count
    assert are_from(sources, validation_data())
    assert are_from(destinations, validation_data())
    joined = list(zip(sources.labels, destinations.labels, strict=True))
    assert all(a != b for a, b in joined)
    # The number of paths that start, or end, in a class differs by at most one between classes.
    for labels in (sources.labels, destinations.labels):
        times = [Counter(labels)[label] for label in range(10)]
        assert max(times) - min(times) <= 1


def labelled(*labels: int) -> Examples:
    return Examples(torch.arange(float(len(labels)))[:, None], labels)


def test_pairs_cover_all_combinations_of_a_few_classes_of_unequal_size():
    labels = (0,) * 50 + (1, 1, 2)
    for seed in range(5):
        sources, destinations = pair_up(labelled(*labels), 9, seed)
        joined = Counter(zip(sources.labels, destinations.labels, strict=True))
        # Three classes form six ordered pairs; nine pairs contain all of them.
        assert set(joined) == {(a, b) for a in range(3) for b in range(3) if a != b}
    # Negative control: successive examples are of one class.
    assert labels[0] == labels[1]


def test_all_examples_of_a_class_are_used_before_one_is_used_again():
    sources, destinations = pair_up(labelled(*[0] * 6, *[1] * 6), 6, seed=0)
    used = Counter(torch.cat([sources.inputs, destinations.inputs]).flatten().tolist())
    assert used == Counter(range(12))
    again, _ = pair_up(labelled(0, 1), 6, seed=0)
    assert len(again) == 6


def test_the_seed_determines_which_classes_are_joined():
    joined = {
        tuple(zip(*(one.labels for one in pair_up(labelled(*range(10)), 4, seed)), strict=True))
        for seed in (0, 0, 1, 2)
    }
    assert len(joined) == 3


@pytest.mark.parametrize("select", [lambda label: label == 3, lambda label: label < 5])
def test_examples_of_a_single_class_raise_an_error(tmp_path, select):
    images, labels = digits()
    rows = select(labels)
    given = (images[rows], labels[rows])
    if len(set(labels[rows].tolist())) > 1:
        assert len(pairs(tmp_path, given)[0]) == 8
    else:
        with pytest.raises(LeafError, match=r"of different classes; all .* are of class 3"):
            pairs(tmp_path, given)


def test_pairs_of_unlabelled_inputs_are_successive_examples():
    unknown = Examples(torch.arange(5.0)[:, None])
    sources, destinations = pair_up(unknown, 8, seed=0)
    assert (sources.inputs.tolist(), destinations.inputs.tolist()) == ([[0], [2]], [[1], [3]])
    assert len(pair_up(unknown, 1, seed=0)[0]) == 1
    with pytest.raises(LeafError, match="pairs expects at least two examples"):
        pair_up(unknown.select([0]), 8, seed=0)
