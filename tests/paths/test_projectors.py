"""Projections on D_x along a path: exact, iterative, or within the most probable classes."""

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
from lightning_leaf.paths.iterative_projectors import IterativeProjectors
from lightning_leaf.paths.projection_settings import ProjectionSettings
from lightning_leaf.paths.projectors import ExactProjectors
from tests.support import many_classes
from tests.support.cases import CASES

SEED = 0


@pytest.fixture(params=["perceptron", "convolutions", "attention"])
def model_and_ends(request):
    model, x = many_classes.make(request.param, SEED, batch=4)
    return model, x[:2], x[2:]


def share_off_the_leaf(model, path) -> float:
    """Return the largest share of a step outside D_x of its first point, computed exactly."""
    shares = []
    for one in path:
        steps = one.points[1:] - one.points[:-1]
        g = LocalDataMatrix.at(copy.deepcopy(model).double(), one.points[:-1].double())
        rest = g.reject(steps.double()).flatten(1).norm(dim=1)
        shares.append((rest / steps.flatten(1).norm(dim=1)).max())
    return float(max(shares))


def test_iterative_paths_end_close_to_exact_ones(model_and_ends):
    model, start, end = model_and_ends
    options = {"max_steps": 8, "step_size": 0.075}
    exact = horizontal_path(model, start, end, rtol=0, **options)
    iterative = horizontal_path(model, start, end, rtol=1e-4, **options)
    for one, other in zip(exact, iterative, strict=True):
        assert one.status == other.status
        # A kink of a ReLU may be passed one step earlier or later.
        assert (one.distance - other.distance).abs().max() < 0.05 * (8 * 0.075)


def test_steps_are_tangent_for_any_allowed_error(model_and_ends):
    model, start, end = model_and_ends
    path = horizontal_path(model, start, end, rtol=0.5, max_steps=6, step_size=0.01)
    assert share_off_the_leaf(model, path) < 1e-3
    assert all((one.horizontality > 0.999).all() for one in path)
    # Negative control: straight lines are not tangent.
    g = LocalDataMatrix.at(copy.deepcopy(model).double(), start.double())
    straight = (end - start).double()
    assert (g.reject(straight).flatten(1).norm(dim=1) > 0.1 * straight.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize(
    ("classes", "options", "expected"),
    [
        (10, {}, ExactProjectors),
        (160, {}, ExactProjectors),
        (161, {}, IterativeProjectors),
        (161, {"rtol": 0}, ExactProjectors),
        (10, {"rtol": 1e-2}, IterativeProjectors),
        (161, {"top_classes": 5}, ExactProjectors),
    ],
)
def test_default_method_depends_on_the_number_of_classes(monkeypatch, classes, options, expected):
    used = set()
    for kind in (ExactProjectors, IterativeProjectors):
        original = kind.at

        def recorded(self, x, original=original):
            used.add(type(self))
            return original(self, x)

        monkeypatch.setattr(kind, "at", recorded)
    model, x = nn.Linear(300, classes), torch.randn(2, 300)
    horizontal_path(model, x, x.flip(0), max_steps=1, **options)
    assert used == {expected}


def test_steps_lie_in_the_span_of_the_most_probable_classes():
    model, x = many_classes.make("perceptron", SEED, batch=2)
    path = horizontal_path(model, x[:1], x[1:], top_classes=3, max_steps=1, step_size=0.01)[0]
    model = copy.deepcopy(model).double()
    top = model(x[:1].double()).topk(3).indices[0]
    restricted = LocalDataMatrix.at(lambda x: model(x)[:, top], x[:1].double())
    step = (path.points[1:] - path.points[:-1]).double()
    assert restricted.tangent_dimension().item() == 2
    assert restricted.reject(step).norm() < 1e-4 * step.norm()
    assert LocalDataMatrix.at(model, x[:1].double()).reject(step).norm() < 1e-4 * step.norm()


def test_top_classes_above_the_number_of_classes_means_all_classes():
    model, x = CASES[1].make(SEED, batch=2)
    options = {"max_steps": 5, "step_size": 0.01}
    top = horizontal_path(model, x[:1], x[1:], top_classes=99, **options)[0]
    all_classes = horizontal_path(model, x[:1], x[1:], **options)[0]
    assert torch.allclose(top.points, all_classes.points, atol=1e-5)


class InfiniteBeyond(nn.Module):
    """A classifier whose scores are infinite where the first coordinate is larger than 50."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, _ = many_classes.make("perceptron", SEED)

    def forward(self, x):
        return self.inner(x) + torch.where(x[:, :1] > 50, torch.inf, 0.0)


def test_a_path_that_diverges_does_not_change_the_others():
    model, x, end = InfiniteBeyond(), torch.randn(3, 300), torch.randn(3, 300)
    x[1, 0] = 100.0
    options = {"max_steps": 4, "step_size": 0.05}
    paths = horizontal_path(model, x, end, **options)
    assert [path.status == PathStatus.NON_FINITE for path in paths] == [False, True, False]
    alone = horizontal_path(model, x[[0, 2]], end[[0, 2]], **options)
    for i, j in ((0, 0), (2, 1)):
        assert torch.allclose(paths[i].distance, alone[j].distance, rtol=1e-4)
    (diverged,) = horizontal_path(model, x[1:2], end[1:2], **options)
    assert diverged.status == PathStatus.NON_FINITE


def test_a_source_at_its_destination_is_reached_without_a_step():
    model, x = many_classes.make("perceptron", SEED)
    paths = horizontal_path(model, x, x.clone(), step_size=0.1, threshold=1.0)
    assert [(path.status, path.steps) for path in paths] == [(PathStatus.REACHED, 0)] * 3


@pytest.mark.parametrize("domain", [None, (-1.5, 1.5)])
def test_iterative_orthogonal_walks_keep_the_prediction(domain):
    model, x = many_classes.make("perceptron", SEED)
    x = x.clamp(-1.4, 1.4)
    walks = orthogonal_walk(model, x, step_size=0.06, max_steps=20, domain=domain)
    directions = torch.randn(3, 300)
    straight = x + 1.2 * directions / directions.norm(dim=1, keepdim=True)
    with torch.no_grad():
        q = model(straight).double().log_softmax(1)
    for i, walk in enumerate(walks):
        p = walk.log_probs[0].double()
        drift = (p.exp() * (p - walk.log_probs[-1].double())).sum()
        control = (p.exp() * (p - q[i])).sum()  # a straight line of the same length
        assert walk.distance[-1] > (0.5 if domain else 1.1)
        assert drift < 0.05 * control


class FirstDerivativeOnly(torch.autograd.Function):
    """A square with a wrong second derivative and without a forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient.detach()


class Squares(nn.Module):
    """A classifier of many classes."""

    def __init__(self, square) -> None:
        super().__init__()
        self.square = square
        self.inner, self.outer = nn.Linear(20, 30), nn.Linear(30, many_classes.CLASSES)

    def forward(self, x):
        return self.outer(self.square(self.inner(x)))


def test_many_classes_of_a_model_with_first_derivatives_only_are_projected_exactly():
    once, twice = Squares(FirstDerivativeOnly.apply), Squares(torch.square)
    twice.load_state_dict(once.state_dict())
    x, y = torch.randn(2, 20), torch.randn(2, 20)
    for model, kind in ((once, ExactProjectors), (twice, IterativeProjectors)):
        with measuring(model) as classifier:
            chosen, _ = ProjectionSettings(None, None, None).choose(
                classifier, many_classes.CLASSES, x, clamps=False
            )
        assert isinstance(chosen, kind)
    path = horizontal_path(once, x, y, max_steps=5)
    exact = horizontal_path(twice, x, y, max_steps=5, rtol=0)
    assert torch.allclose(path.points, exact.points, atol=1e-5)
    # Negative control: products with the Jacobian of this model are refused.
    with pytest.raises(LeafError, match="differentiated twice"):
        horizontal_path(once, x, y, max_steps=5, rtol=1e-3)


@pytest.mark.parametrize(
    ("hidden", "classes", "steps", "kept"),
    [(300, 520, 6, True), (12, 1100, 2, False), (12, 2100, 2, False)],
    ids=["kept in float32", "not worth keeping", "too many to keep"],
)
@pytest.mark.parametrize("domain", [None, (-0.9, 0.9)])
def test_paths_of_very_many_classes_agree_with_exact_ones(hidden, classes, steps, kept, domain):
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(40, hidden), nn.Tanh(), nn.Linear(hidden, classes))
    x, y = 0.8 * torch.rand(2, 2, 40)
    with measuring(model) as classifier:
        settings = ProjectionSettings(None, 1e-3, None)
        assert settings.choose(classifier, classes, x, clamps=False)[0]._keeps == kept
    options = {"max_steps": steps, "step_size": 0.1, "domain": domain}
    exact = horizontal_path(model, x, y, rtol=0, **options)
    iterative = horizontal_path(model, x, y, rtol=1e-4, **options)
    assert torch.allclose(exact.points, iterative.points, atol=1e-4)
    assert torch.allclose(exact.horizontality, iterative.horizontality, atol=2e-3)
    assert not torch.allclose(exact.points[:, 0], iterative.points[:, -1], atol=1e-2)


@pytest.mark.parametrize("rtol", [1e-3, 1e-5, 1e-6])
def test_small_errors_that_float32_cannot_resolve_do_no_harm(rtol):
    torch.manual_seed(7)
    layers = nn.Linear(60, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 170)
    x, y = torch.randn(2, 5, 60)
    options = {"max_steps": 40, "progress": False}
    exact = horizontal_path(nn.Sequential(*layers), x, y, rtol=0, **options)
    iterative = horizontal_path(nn.Sequential(*layers), x, y, rtol=rtol, **options)
    assert torch.equal(exact.steps, iterative.steps)
    assert torch.allclose(exact.distance[:, -1], iterative.distance[:, -1], rtol=2e-2)


@pytest.mark.parametrize("classes", [5, 161, 2100])
def test_a_walk_stalls_if_every_direction_changes_the_prediction(classes):
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, classes))
    walk = orthogonal_walk(model, torch.randn(3, 4), max_steps=10, progress=False)
    assert set(walk.status) == {PathStatus.STALLED}
    assert walk.steps.tolist() == [0, 0, 0]
