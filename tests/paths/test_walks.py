"""Walks across the leaves change what the model does not see, and nothing else."""

import pytest
import torch
from torch import nn

from lightning_leaf import LocalDataMatrix, PathStatus, orthogonal_walk
from tests.support.cases import CASES

CNN = next(case for case in CASES if case.name == "image_cnn")


def smooth(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4)).double()


def test_the_prediction_drifts_as_the_square_of_the_step():
    """Over a fixed length the KL drift of a walk falls as O(α²): half the step, a quarter."""
    model, x = smooth(), torch.randn(6, 16, dtype=torch.float64)
    drift = []
    for halvings in range(3):
        step, steps = 0.2 / 2**halvings, 20 * 2**halvings
        walk = orthogonal_walk(model, x, step_size=step, max_steps=steps, progress=False)
        p, q = walk.log_probs[:, 0].double(), model(walk.points[:, -1]).detach().log_softmax(1)
        p = model(x).detach().log_softmax(1)
        drift.append((p.exp() * (p - q)).sum(1))
    assert (drift[1] < drift[0] / 3).float().mean() > 0.5
    assert (drift[2].sum() / drift[0].sum()) < 1 / 10


def test_walks_keep_the_prediction_where_a_random_direction_does_not():
    model, x = smooth(), torch.randn(6, 16, dtype=torch.float64)
    direction = torch.randn_like(x)
    walk = orthogonal_walk(model, x, direction, step_size=0.02, max_steps=100, progress=False)
    kept = (walk.log_probs[:, -1] - walk.log_probs[:, 0]).abs().amax(1)
    unprojected = x + walk.distance[:, -1:] * direction / direction.norm(dim=1, keepdim=True)
    moved = (model(unprojected).log_softmax(1) - model(x).log_softmax(1)).abs().amax(1)
    assert (walk.distance[:, -1] > 1).all()
    assert kept.median() < 0.1 * moved.median()


def naive_clamped_walk(model, x, direction, step_size, steps):
    """The walk that leaves D_x out, steps, and clamps to [0, 1] afterwards."""
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
def test_walks_stay_in_the_domain_without_leaving_the_kernel(shape):
    torch.manual_seed(12)
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 30), nn.ReLU(), nn.Linear(30, 5))
    # Half of the pixels are black, as in most images: a random direction leads out at once.
    x = torch.rand(4, *shape).sub(0.5).clamp(0, 1)
    direction = torch.randn_like(x)
    walk = orthogonal_walk(
        model, x, direction, domain=(0, 1), step_size=0.05, max_steps=40, progress=False
    )
    assert walk.points.min() >= 0
    assert walk.points.max() <= 1
    assert (walk.horizontality < 1e-3).all()
    assert (walk.distance[:, -1] > 1).all()
    # Negative control: clamping alone leads off the kernel.
    assert naive_clamped_walk(model, x, direction, 0.05, 40).median() > 0.05


def test_a_walk_with_every_pixel_at_its_bound_is_stalled():
    model = nn.Linear(20, 5)
    walk = orthogonal_walk(
        model, torch.ones(2, 20), torch.ones(2, 20), domain=(0, 1), progress=False
    )
    assert walk.status == (PathStatus.STALLED,) * 2
    assert walk.steps.tolist() == [0, 0]


def test_a_tangent_direction_leaves_nowhere_to_walk():
    model = nn.Linear(20, 5)
    x = torch.randn(2, 20)
    tangent = LocalDataMatrix.at(model, x).project(torch.randn(2, 20))
    walk = orthogonal_walk(model, x, tangent, progress=False)
    assert walk.status == (PathStatus.STALLED,) * 2
    assert "stalled after 0 steps" in walk[0].describe()


def test_random_directions_are_seeded_and_leave_the_global_stream_alone():
    model, x = CNN.make(6, batch=2)
    torch.manual_seed(1)
    a = orthogonal_walk(model, x, max_steps=3, seed=5, progress=False)
    first = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), first)
    b = orthogonal_walk(model, x, max_steps=3, seed=5, progress=False)
    c = orthogonal_walk(model, x, max_steps=3, seed=6, progress=False)
    assert torch.equal(a.points, b.points)
    assert not torch.equal(a.points, c.points)
