"""Paths of classifiers with many classes: by products, or within the most probable classes."""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    PathStatus,
    horizontal_path,
    orthogonal_walk,
)
from lightning_leaf.model.classifier import measuring
from lightning_leaf.paths.projectors import ExactProjectors, IterativeProjectors
from tests.support import many_classes
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]


@pytest.fixture(params=["perceptron", "convolutions", "attention"])
def model_and_ends(request):
    model, x = many_classes.make(request.param, SEED, batch=6)
    return model, x[:3], x[3:]


def off_the_leaf(model, path) -> float:
    """The largest share of a step outside D_x of its starting point, by the exact method."""
    shares = []
    for one in path:
        steps = one.points[1:] - one.points[:-1]
        g = LocalDataMatrix.at(copy.deepcopy(model).double(), one.points[:-1].double())
        rest = g.reject(steps.double()).flatten(1).norm(dim=1)
        shares.append((rest / steps.flatten(1).norm(dim=1)).max())
    return float(max(shares))


def test_paths_by_products_end_where_paths_by_classes_do(model_and_ends):
    model, start, end = model_and_ends
    options = {"max_steps": 12, "step_size": 0.05}
    exact = horizontal_path(model, start, end, rtol=0, **options)
    found = horizontal_path(model, start, end, rtol=1e-4, **options)
    for one, other in zip(exact, found, strict=True):
        assert one.status == other.status
        # A kink of a ReLU may be passed one step earlier or later.
        assert (one.distance - other.distance).abs().max() < 0.05 * (12 * 0.05)


def test_their_steps_are_tangent_however_rough_the_projection_is(model_and_ends):
    model, start, end = model_and_ends
    found = horizontal_path(model, start, end, rtol=0.5, max_steps=6, step_size=0.01)
    assert off_the_leaf(model, found) < 1e-3
    assert all((one.horizontality > 0.999).all() for one in found)


def test_straight_lines_would_not_be_tangent(model_and_ends):
    """Negative control."""
    model, start, end = model_and_ends
    g = LocalDataMatrix.at(copy.deepcopy(model).double(), start.double())
    straight = (end - start).double()
    assert (g.reject(straight).flatten(1).norm(dim=1) > 0.1 * straight.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize(
    ("classes", "options", "by_products"),
    [
        (10, {}, False),
        (160, {}, False),
        (161, {}, True),
        (161, {"rtol": 0}, False),
        (10, {"rtol": 1e-2}, True),
        (161, {"top_classes": 5}, False),
    ],
)
def test_the_number_of_classes_chooses_what_was_not_said(
    monkeypatch, classes, options, by_products
):
    asked = set()
    for kind in (ExactProjectors, IterativeProjectors):
        original = kind.at

        def spied(self, x, original=original):
            asked.add(type(self))
            return original(self, x)

        monkeypatch.setattr(kind, "at", spied)
    torch.manual_seed(SEED)
    model, x = nn.Linear(300, classes), torch.randn(2, 300)
    horizontal_path(model, x, x.flip(0), max_steps=1, **options)
    assert asked == {IterativeProjectors if by_products else ExactProjectors}


def test_solutions_go_on_from_the_point_before(model_and_ends):
    model, start, end = model_and_ends
    with measuring(model) as classifier:
        x, v = classifier.prepare(start), (end - start).flatten(1).double()
        warm = IterativeProjectors(classifier, 1e-3)
        warm.at(x)[1].project(v)
        (cold,) = warm._solutions
        warm.at(x + 1e-5)[1].project(v)
        (again,) = warm._solutions
    assert again.iterations < cold.iterations
    assert (again.error <= 1e-3).all()


def test_the_most_probable_classes_span_the_steps():
    model, x = many_classes.make("perceptron", SEED, batch=2)
    path = horizontal_path(model, x[:1], x[1:], top_classes=3, max_steps=1, step_size=0.01)[0]
    model = copy.deepcopy(model).double()
    top = model(x[:1].double()).topk(3).indices[0]
    restricted = LocalDataMatrix.at(lambda x: model(x)[:, top], x[:1].double())
    step = (path.points[1:] - path.points[:-1]).double()
    assert restricted.tangent_dimension().item() == 2
    assert restricted.reject(step).norm() < 1e-4 * step.norm()
    assert LocalDataMatrix.at(model, x[:1].double()).reject(step).norm() < 1e-4 * step.norm()


def test_all_classes_may_be_the_most_probable_ones():
    model, x = CASES[1].make(SEED, batch=2)
    options = {"max_steps": 5, "step_size": 0.01}
    some = horizontal_path(model, x[:1], x[1:], top_classes=99, **options)[0]
    every = horizontal_path(model, x[:1], x[1:], **options)[0]
    assert torch.allclose(some.points, every.points, atol=1e-5)


def test_a_path_that_diverges_leaves_the_others_alone():
    class Diverging(nn.Module):
        """Its first coordinate makes scores that are not finite."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, _ = many_classes.make("perceptron", SEED)

        def forward(self, x):
            return self.inner(x) + torch.where(x[:, :1] > 50, torch.inf, 0.0)

    x = torch.randn(3, 300)
    end = torch.randn(3, 300)
    x[1, 0] = 100.0
    options = {"max_steps": 4, "step_size": 0.05}
    paths = horizontal_path(Diverging(), x, end, **options)
    assert [path.status == PathStatus.NON_FINITE for path in paths] == [False, True, False]
    alone = horizontal_path(Diverging(), x[[0, 2]], end[[0, 2]], **options)
    for i, j in ((0, 0), (2, 1)):
        assert torch.allclose(paths[i].distance, alone[j].distance, rtol=1e-4)
    (none,) = horizontal_path(Diverging(), x[1:2], end[1:2], **options)
    assert none.status == PathStatus.NON_FINITE


def test_paths_that_are_there_from_the_start_are_no_error():
    model, x = many_classes.make("perceptron", SEED)
    paths = horizontal_path(model, x, x.clone(), step_size=0.1, threshold=1.0)
    assert [(path.status, path.steps) for path in paths] == [(PathStatus.REACHED, 0)] * 3


@pytest.mark.parametrize("domain", [None, (-1.5, 1.5)])
def test_walks_across_the_leaves_keep_the_prediction(domain):
    model, x = many_classes.make("perceptron", SEED)
    x = x.clamp(-1.4, 1.4)
    walks = orthogonal_walk(model, x, step_size=0.02, max_steps=60, domain=domain)
    directions = torch.randn(3, 300)
    straight = x + 1.2 * directions / directions.norm(dim=1, keepdim=True)
    with torch.no_grad():
        q = model(straight).double().log_softmax(1)
    for i, walk in enumerate(walks):
        p = walk.log_probs[0].double()
        drift = (p.exp() * (p - walk.log_probs[-1].double())).sum()
        control = (p.exp() * (p - q[i])).sum()  # as far, but not across the leaves
        assert walk.distance[-1] > (0.5 if domain else 1.1)
        assert drift < 0.05 * control


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_classes": 1}, "at least 2; got 1"),
        ({"top_classes": 2.5}, r"whole number.*got 2\.5"),
        ({"rtol": 1}, "below 1; got 1"),
        ({"rtol": -0.1}, r"got -0\.1"),
        ({"rtol": 0.1, "top_classes": 3}, "expected one of them"),
    ],
)
def test_values_out_of_range_are_named(options, message):
    model, x = CASES[0].make(SEED, batch=2)
    with pytest.raises(LeafError, match=message):
        horizontal_path(model, x, x.flip(0), max_steps=1, **options)
