"""Thinned curves keep the ends of a path, its changes of class and its most probable classes."""

import math

import numpy as np
import pytest
import torch

from lightning_leaf.display.curves import curve_steps, entropies, thin_curves
from tests.support.made_paths import (
    flipping_log_probs,
    make_path,
    random_labels,
    random_log_probs,
    take_snapshot,
)


def test_thinned_curves_keep_both_ends_and_both_sides_of_every_change_of_class():
    changes = (1234, 1235, 3331)
    steps = thin_curves(make_path(flipping_log_probs(5000, *changes)), 1).steps
    assert 900 < len(steps) <= 1000
    assert {0, 1233, 1234, 1235, 3330, 3331, 5000} <= set(steps.tolist())
    assert np.diff(steps).max() <= 6
    # Negative control: without a change of class these steps are not kept.
    without = thin_curves(make_path(flipping_log_probs(5000)), 1).steps
    assert not {1233, 1234, 1235} <= set(without.tolist())


@pytest.mark.parametrize("last", [0, 1, 98, 99, 100, 101, 5000])
@pytest.mark.parametrize("every", [1, 2, 7, 10_000])
def test_curves_never_exceed_their_limit(last, every):
    steps = curve_steps(np.arange(last + 1) // every % 3, 100)
    assert len(steps) <= 100
    assert (steps[0], steps[-1]) == (0, last)
    assert (np.diff(steps) > 0).all()
    assert len(steps) == last + 1 or len(steps) >= 50


@pytest.mark.parametrize(("classes", "columns"), [(2, 2), (20, 20), (21, 21), (22, 21), (1000, 21)])
def test_the_twenty_most_probable_classes_and_other_sum_to_one(classes, columns):
    log_probs = random_log_probs(30, classes)
    record = take_snapshot(make_path(log_probs)).paths[0]
    assert record.probabilities.shape == (31, columns)
    assert np.allclose(record.probabilities.sum(1), 1, atol=1e-5)
    shown = [int(name) for name in record.classes if name != "other"]
    assert ("other" in record.classes) == (classes > 21)
    assert np.allclose(record.probabilities[:, : len(shown)], log_probs.exp()[:, shown], atol=1e-6)
    most_probable = log_probs.amax(0).argsort(descending=True)[: len(shown)]
    assert shown == sorted(most_probable.tolist())


@pytest.mark.parametrize(("labels", "columns"), [(1, 1), (21, 21), (22, 20), (100, 20)])
def test_the_twenty_most_probable_labels_are_shown_without_a_remainder(labels, columns):
    log_probs = random_labels(30, labels)
    record = take_snapshot(make_path(log_probs, likelihood="bernoulli")).paths[0]
    assert record.probabilities.shape == (31, columns)
    shown = [int(name) for name in record.classes]  # no "other"
    assert np.allclose(record.probabilities, log_probs.exp()[:, shown], atol=1e-6)
    assert shown == sorted(log_probs.amax(0).argsort(descending=True)[:columns].tolist())
    p = log_probs.exp()
    naive = -(p * p.log() + (1 - p) * (1 - p).log()).sum(1)
    assert np.allclose(record.entropy, naive, rtol=1e-4)
    # Negative control: the entropy of exclusive classes is another number.
    assert not np.allclose(record.entropy, -(p * p.log()).sum(1), rtol=0.1)


def test_the_entropy_of_certain_labels_is_accurate():
    log_p = torch.nn.functional.logsigmoid(torch.tensor([[30.0, -30.0]], dtype=torch.float64))
    rare = math.exp(-30)
    expected = 2 * (30 * rare + rare)  # −q log q − (1 − q) log(1 − q) ≈ q (1 − log q)
    assert float(entropies(log_p, "bernoulli")) == pytest.approx(expected, rel=1e-6)
    assert float(entropies(log_p.float().double(), "bernoulli")) == pytest.approx(
        expected, rel=1e-5
    )


def test_thinned_curves_keep_both_sides_of_every_change_of_the_predicted_labels():
    log_probs = torch.full((5001, 3), 0.3, dtype=torch.float64)
    log_probs[:, 0] = 0.9  # the most probable label does not change
    log_probs[1234:, 1] = log_probs[3331:, 2] = 0.6
    steps = thin_curves(make_path(log_probs.log(), likelihood="bernoulli"), 1).steps
    assert {0, 1233, 1234, 3330, 3331, 5000} <= set(steps.tolist())
    # Negative control: of exclusive classes nothing changes.
    assert not {1233, 1234} <= set(thin_curves(make_path(log_probs.log()), 1).steps.tolist())


def test_a_class_that_is_probable_at_one_step_only_is_shown():
    log_probs = random_log_probs(3000, 100)
    spike = torch.zeros(100, dtype=torch.float64)
    spike[77] = 50
    log_probs[1001] = spike.log_softmax(0)
    curves = thin_curves(make_path(log_probs), 1)
    assert curves.probabilities[:, curves.classes.index(77)].max() > 0.99


@pytest.mark.parametrize("steps", [7, 999, 1000, 4321])
def test_horizontality_is_the_mean_up_to_the_next_point_of_the_curve(steps):
    single = make_path(random_log_probs(steps, 4))
    single.horizontality[3:5] = torch.nan
    single.horizontality[steps - 2] = torch.nan
    curves = thin_curves(single, 1)
    naive = [
        float(single.horizontality[start:stop].nanmean())
        for start, stop in zip(curves.steps[:-1], curves.steps[1:], strict=True)
    ]
    assert np.allclose(curves.horizontality, [*naive, naive[-1]], atol=1e-6, equal_nan=True)
    if steps > 1000:  # Negative control: it is not the value at the point.
        at_points = single.horizontality.numpy()[curves.steps[:-1]]
        assert not np.allclose(curves.horizontality[:-1], at_points, atol=0.1, equal_nan=True)
