"""Walks towards an image keep the prediction, and cover what lies across the leaves."""

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, PathStatus, orthogonal_walk
from lightning_leaf.data.batches import Examples
from lightning_leaf.display.snapshots import SnapshotMetadata, make_snapshot
from lightning_leaf.geometry.divergence import kl_divergence, sphere_coordinates
from lightning_leaf.model.likelihood import log_probabilities
from tests.support import oracle

LIKELIHOODS = "categorical", "bernoulli"


def smooth(sharpness: float = 1.0) -> nn.Module:
    """A classifier of 16 numbers; the sharper, the more D_x turns along a path."""
    model = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 4)).double()
    with torch.no_grad():
        model[0].weight *= 2 * sharpness
        model[2].weight *= 6
    return model


def ends(count: int, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, count, size, dtype=torch.float64))


def divergence(model, x, points, likelihood="categorical"):
    """Return KL(p(x) ‖ p) at points (n, ...), from the model itself."""
    log_p, log_q = (log_probabilities(model(z).double(), likelihood) for z in (x, points))
    return kl_divergence(log_p.detach(), log_q.detach(), likelihood)


def slow_walk(model, x, y, step_size, steps, max_kl, likelihood):
    """Return the last point of one walk, from its formula: SVD, dense G and no bound reached."""
    first = log_probabilities(model(x[None]), likelihood).detach()
    radius = 0.7 * (2 * max_kl) ** 0.5
    for _ in range(steps):
        u = y - x
        v = u - oracle.project(model, x[None], u[None], likelihood)[0]
        v = v * min(1, step_size / float(v.norm()))

        def coordinates(scores):
            return sphere_coordinates(log_probabilities(scores[None], likelihood), likelihood)[0]

        xi = coordinates(model(x[None])[0].detach())
        change = sphere_coordinates(first, likelihood)[0] - xi
        change = max(0, 1 - radius / float(change.norm().clamp_min(1e-300))) * change
        a = torch.autograd.functional.jacobian(lambda z: weighted(model(z[None]), likelihood), x)
        k = a @ a.T
        c = a.T @ torch.linalg.solve(k + 0.1 * k.trace() * torch.eye(len(k)).double(), change)
        x = x + v + c * min(1, step_size / float(c.norm().clamp_min(1e-300)))
    return x


def weighted(scores, likelihood):
    """Return 2√p, or 2 arcsin √p of labels, with gradients."""
    if likelihood == "bernoulli":
        return 2 * torch.asin(scores[0].sigmoid().sqrt())
    return 2 * scores[0].softmax(0).sqrt()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_walks_are_those_of_the_formula(likelihood):
    model, (x, y) = smooth(), ends(3)
    options = {"max_kl": 2e-4, "step_size": 0.15, "max_steps": 16, "likelihood": likelihood}
    walk = orthogonal_walk(model, x, towards=y, progress=False, **options)
    assert walk.kl.max() > 0.5 * 2e-4  # so that predictions are corrected
    for i in range(3):
        expected = slow_walk(model, x[i], y[i], 0.15, int(walk.steps[i]), 2e-4, likelihood)
        assert torch.allclose(walk[i].points[-1], expected, atol=1e-9)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_of_a_linear_classifier_all_is_covered_but_the_part_in_d(likelihood):
    model, (x, y) = nn.Linear(20, 5).double(), ends(3, 20)
    walk = orthogonal_walk(model, x, towards=y, likelihood=likelihood, progress=False)
    tangent = oracle.project(model, x, y - x, likelihood)
    assert torch.allclose(walk.points[:, -1], y - tangent, atol=1e-6)
    assert torch.allclose(walk.covered, 1 - tangent.norm(dim=1) / (y - x).norm(dim=1), atol=1e-6)
    assert walk.kl.max() < 1e-20
    assert walk.status == (PathStatus.STALLED,) * 3
    assert (walk.steps < 60).all()


def test_an_image_with_the_same_scores_is_reached():
    model, (x, y) = nn.Linear(20, 5).double(), ends(2, 20)
    y = y - oracle.project(model, x, y - x)
    walk = orthogonal_walk(model, x, towards=y, progress=False)
    assert walk.status == (PathStatus.REACHED,) * 2
    assert torch.allclose(walk.threshold, (y - x).norm(dim=1) / 30)
    assert (walk.distance[:, -1] <= walk.threshold).all()
    assert torch.equal(walk.end, y)
    assert "reached the destination" in walk[0].describe()
    assert "% of the way, KL at most" in walk[0].describe()
    assert orthogonal_walk(model, x, towards=x, progress=False).covered.tolist() == [1, 1]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("max_kl", [1e-4, 1e-2])
def test_the_prediction_stays_within_the_bound(likelihood, max_kl):
    model, (x, y) = smooth(2), ends(6)
    walk = orthogonal_walk(
        model, x, towards=y, max_kl=max_kl, max_steps=120, likelihood=likelihood, progress=False
    )
    for i, path in enumerate(walk):
        kl = divergence(model, x[i : i + 1], path.points, likelihood)
        assert (kl <= max_kl).all()
        assert path.kl.max() <= max_kl
    assert walk.covered.min() > 0.05
    # Negative control: as far along the straight line, the prediction changes.
    straight = x + walk.covered.unsqueeze(1) * (y - x)
    assert (divergence(model, x, straight, likelihood) > max_kl).float().mean() > 0.8


def test_corrections_lead_further_than_a_walk_that_the_bound_stops(monkeypatch):
    model, (x, y) = smooth(2), ends(8)
    options = {"max_kl": 1e-4, "max_steps": 200, "progress": False}
    corrected = orthogonal_walk(model, x, towards=y, **options)
    monkeypatch.setattr("lightning_leaf.paths.toward_image.FREE_RADIUS", 1e9)
    without = orthogonal_walk(model, x, towards=y, **options)
    assert corrected.covered.mean() > without.covered.mean() + 0.02
    assert without.kl.max() <= 1e-4
    blocked = [path for path in without if path.status is PathStatus.BLOCKED]
    assert {path.blocked_by for path in blocked} == {"prediction"}
    assert "the next step would change the prediction" in blocked[0].describe()


def test_walks_stay_in_the_domain_and_across_the_leaves():
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 30), nn.ReLU(), nn.Linear(30, 5))
    # Half of the pixels are black.
    x, y = torch.rand(2, 4, 1, 10, 10).sub(0.5).clamp(0, 1)
    walk = orthogonal_walk(
        model, x, towards=y, domain=(0, 1), max_kl=torch.inf, max_steps=60, progress=False
    )
    assert walk.points.min() >= 0
    assert walk.points.max() <= 1
    # A pixel that a step would move out moves to its bound, which leaves the kernel a little.
    inside = torch.cat([single.horizontality for single in walk])
    assert float(inside.mean()) < 0.05
    line = orthogonal_walk(model, x, y - x, domain=(0, 1), max_steps=1, progress=False)
    share = LocalDataMatrix.at(model, x).project(y - x).flatten(1).norm(dim=1)
    assert float((share / (y - x).flatten(1).norm(dim=1)).min()) > 0.1  # unprojected
    assert float(line.horizontality.max()) < 1e-3  # along a fixed direction, no pixel moves so
    assert (walk.covered > 0.3).all()
    # Negative control: without a domain some pixels leave it.
    free = orthogonal_walk(model, x, towards=y, max_steps=60, progress=False)
    assert free.points.min() < 0


def test_a_walk_that_only_the_domain_stops_says_so():
    model = nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1, 0], [0, 0, 0]]))
    x = torch.tensor([[0.0, 0, 0]], dtype=torch.float64)
    y = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)  # the second number would become negative
    walk = orthogonal_walk(model, x, towards=y, domain=(0, 1), progress=False)
    assert walk[0].status is PathStatus.BLOCKED
    assert walk[0].blocked_by == "domain"
    open_walk = orthogonal_walk(model, x, towards=y, progress=False)
    assert open_walk.covered[0] == pytest.approx(1 - 0.5**0.5, abs=1e-6)


def test_a_pixel_inside_of_the_domain_may_move_to_its_bound():
    """A whole step would lead out of the domain; the destination is in it."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
    x, y = torch.tensor([[0.5, 0.9]]), torch.tensor([[0.55, 0.95]])
    walk = orthogonal_walk(
        model, x, towards=y, step_size=1.0, threshold=0.001, domain=(0, 1), progress=False
    )
    assert walk.status == (PathStatus.REACHED,)


def test_iterative_projections_lead_to_the_same_points():
    model, (x, y) = smooth(), ends(3)
    options = {"max_steps": 15, "max_kl": 1e-3, "progress": False}
    exact = orthogonal_walk(model, x, towards=y, rtol=0, **options)
    iterative = orthogonal_walk(model, x, towards=y, rtol=1e-6, **options)
    assert torch.allclose(exact.points[:, -1], iterative.points[:, -1], atol=1e-3)
    assert iterative.kl.max() <= 1e-3


def test_results_do_not_depend_on_chunks_and_seeds():
    model, (x, y) = smooth(), ends(5)
    options = {"max_steps": 40, "progress": False}
    walk = orthogonal_walk(model, x, towards=y, **options)
    chunks = orthogonal_walk(model, x, towards=y, chunk_size=2, seed=5, **options)
    assert walk.status == chunks.status
    assert torch.allclose(walk.points[:, -1], chunks.points[:, -1], atol=1e-9)


def test_the_tab_shows_walks_with_a_destination():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), torch.rand(2, 1, 6, 6)
    walk = orthogonal_walk(model, x, towards=x.flip(0), domain=(0, 1), progress=False)
    examples = Examples(x, torch.tensor([0, 1]), indices=(4, 7))
    metadata = SnapshotMetadata("walk", 10, 0, "manual", "0" * 16, 0)
    snapshot = make_snapshot(walk, metadata, examples, examples)
    assert snapshot.kind == "orthogonal"
    record = snapshot.paths[0]
    assert record.destination_frame is not None
    assert record.start_distance == pytest.approx(float(walk.distance[0, 0]))
    assert record.threshold == pytest.approx(float(walk.threshold[0]))


def test_scores_of_nan_end_the_walk():
    class Broken(nn.Module):
        def forward(self, x):
            scores = torch.stack([x[:, 0], x[:, 1], x[:, 0] * x[:, 2]], 1)
            return torch.where(x[:, 3:4] > 0.5, torch.nan, scores)

    x, y = torch.zeros(1, 6), torch.ones(1, 6)
    walk = orthogonal_walk(Broken(), x, towards=y, progress=False)
    assert walk.status == (PathStatus.NON_FINITE,)


INVALID = {
    "both": ({"direction": torch.ones(2, 20)}, "Expected direction or towards, not both"),
    "shape": ({"towards": torch.ones(1, 20)}, "towards expects the shape of start.*got .1, 20."),
    "max_kl": ({"max_kl": 0}, "max_kl expects a positive number; got 0"),
    "domain": ({"domain": (0, 1)}, "towards expects values inside the domain"),
    "max_kl alone": ({"towards": None, "max_kl": 0.1}, "max_kl expects a walk towards an image"),
    "threshold alone": ({"towards": None, "threshold": 1.0}, "threshold expects a walk towards"),
}


@pytest.mark.parametrize(("arguments", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_arguments_raise_an_error_that_names_them(arguments, message):
    arguments = {"towards": torch.full((2, 20), 2.0), **arguments}
    with pytest.raises(LeafError, match=message):
        orthogonal_walk(nn.Linear(20, 5), torch.ones(2, 20), progress=False, **arguments)


def test_a_walk_without_a_destination_has_no_share():
    walk = orthogonal_walk(nn.Linear(20, 5), torch.ones(1, 20), max_steps=2, progress=False)
    assert walk.covered.isnan().all()
    assert walk.kl.shape == (1, 3)
