"""Orthogonal walks keep the prediction, stay in the domain and report why they ended."""

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, PathStatus, orthogonal_walk
from tests.support.cases import CASES

CNN = next(case for case in CASES if case.name == "image_cnn")


def smooth() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4)).double()


def test_the_change_of_the_prediction_is_quadratic_in_the_step_size():
    """Over a fixed length the KL divergence falls as O(α²): half the step size, a quarter."""
    model, x = smooth(), torch.randn(6, 16, dtype=torch.float64)
    p = model(x).detach().log_softmax(1)
    drift = []
    for halvings in range(3):
        step, steps = 0.2 / 2**halvings, 20 * 2**halvings
        walk = orthogonal_walk(model, x, step_size=step, max_steps=steps, progress=False)
        q = model(walk.points[:, -1]).detach().log_softmax(1)
        drift.append((p.exp() * (p - q)).sum(1))
    assert (drift[1] < drift[0] / 3).float().mean() > 0.5
    assert (drift[2].sum() / drift[0].sum()) < 1 / 10


def test_walks_keep_the_prediction_and_the_unprojected_direction_does_not():
    model, x = smooth(), torch.randn(6, 16, dtype=torch.float64)
    direction = torch.randn_like(x)
    walk = orthogonal_walk(model, x, direction, step_size=0.02, max_steps=100, progress=False)
    kept = (walk.log_probs[:, -1] - walk.log_probs[:, 0]).abs().amax(1)
    unprojected = x + walk.distance[:, -1:] * direction / direction.norm(dim=1, keepdim=True)
    moved = (model(unprojected).log_softmax(1) - model(x).log_softmax(1)).abs().amax(1)
    assert (walk.distance[:, -1] > 1).all()
    assert kept.median() < 0.1 * moved.median()


def naive_clamped_walk(model, x, direction, step_size, steps):
    """Return the horizontality of a walk that is clamped to [0, 1] after every step."""
    shares = []
    for _ in range(steps):
        g = LocalDataMatrix.at(model, x)
        v = g.reject(direction)
        v = step_size * v / v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
        moved = (x + v).clamp(0, 1) - x
        shares.append(g.project(moved).flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1))
        x = x + moved
    return torch.stack(shares, dim=1)


@pytest.mark.parametrize("shape", [(1, 10, 10), (100,)], ids=["image", "vector"])
def test_walks_stay_in_the_domain_and_in_the_kernel_of_g(shape):
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 30), nn.ReLU(), nn.Linear(30, 5))
    # Half of the pixels are black, so the first step in a random direction would leave the domain.
    x = torch.rand(4, *shape).sub(0.5).clamp(0, 1)
    direction = torch.randn_like(x)
    walk = orthogonal_walk(
        model, x, direction, domain=(0, 1), step_size=0.05, max_steps=40, progress=False
    )
    assert walk.points.min() >= 0
    assert walk.points.max() <= 1
    assert (walk.horizontality < 1e-3).all()
    assert (walk.distance[:, -1] > 1).all()
    # Negative control: clamping alone leaves the kernel.
    assert naive_clamped_walk(model, x, direction, 0.05, 40).median() > 0.05


def test_a_walk_with_every_pixel_at_its_bound_stalls():
    model = nn.Linear(20, 5)
    walk = orthogonal_walk(
        model, torch.ones(2, 20), torch.ones(2, 20), domain=(0, 1), progress=False
    )
    assert walk.status == (PathStatus.STALLED,) * 2
    assert walk.steps.tolist() == [0, 0]


def test_a_walk_with_a_tangent_direction_stalls():
    model = nn.Linear(20, 5)
    x = torch.randn(2, 20)
    tangent = LocalDataMatrix.at(model, x).project(torch.randn(2, 20))
    walk = orthogonal_walk(model, x, tangent, progress=False)
    assert walk.status == (PathStatus.STALLED,) * 2
    assert "stalled after 0 steps" in walk[0].describe()


def test_random_directions_depend_on_the_seed_and_not_on_the_global_stream():
    model, x = CNN.make(6, batch=2)
    torch.manual_seed(1)
    a = orthogonal_walk(model, x, max_steps=3, seed=5, progress=False)
    following = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), following)
    b = orthogonal_walk(model, x, max_steps=3, seed=5, progress=False)
    c = orthogonal_walk(model, x, max_steps=3, seed=6, progress=False)
    assert torch.equal(a.points, b.points)
    assert not torch.equal(a.points, c.points)


def test_default_step_sizes_are_relative_to_the_norm_of_the_start():
    model, x = nn.Linear(16, 5), torch.randn(3, 16)
    x[1] = 0
    walk = orthogonal_walk(model, x, max_steps=1, progress=False)
    expected = torch.where(x.norm(dim=1) > 0, x.norm(dim=1), 16**0.5).double() / 300
    assert torch.allclose(walk.step_size, expected)
    assert walk.threshold is None
    assert walk.end is None


INVALID = {
    "direction": (
        {"direction": torch.ones(1, 20)},
        "direction expects the shape of start.*got .1, 20.",
    ),
    "max_steps": ({"max_steps": -1}, "max_steps expects a whole number of at least 0; got -1"),
    "step_size": ({"step_size": 0.0}, "step_size expects a positive number"),
    "domain": ({"domain": (2, 3)}, "start expects values inside the domain"),
}


@pytest.mark.parametrize(("arguments", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_arguments_raise_an_error_that_names_them(arguments, message):
    with pytest.raises(LeafError, match=message):
        orthogonal_walk(nn.Linear(20, 5), torch.ones(2, 20), progress=False, **arguments)
