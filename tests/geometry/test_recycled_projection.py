"""Projections at successive points that start from what is known of the point before."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf.geometry.matrix_free import recycled_projection
from lightning_leaf.geometry.matrix_free.inverse_gram import InverseGram
from lightning_leaf.geometry.matrix_free.point_projection import square_of
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.recycled_projection import RecycledProjection
from lightning_leaf.model.classifier import measuring
from tests.support import many_classes, oracle
from tests.support.cases import fresh_seeds

RTOL = 1e-3
STEP = 0.06
SEED = fresh_seeds(1)[0]
FLAT_GELU = -0.7517916
WEAK = 1e-3
"""Singular value, relative to the largest, from which float32 resolves directions well."""


class Along:
    """Projections along straight lines, with the errors against float64.

    Directions with smaller singular values than :data:`WEAK` do not count: float32 does not tell
    them well from noise, which must not change the others.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        direction: Tensor,
        *,
        points: int = 6,
        forget: bool = False,
    ) -> None:
        exact = copy.deepcopy(model.eval()).double()
        v = torch.randn(*x.shape, dtype=torch.float64).flatten(1)
        classes = len(model(x)[0])
        self.iterations: list[int] = []
        self.errors: list[float] = []
        self.squares: list[float] = []
        self.least: list[float] = []
        with measuring(model) as classifier:
            for step in range(points):
                if forget or not step:
                    inverse = InverseGram(len(x), classes, x.device)
                at = x + step * direction
                products = Products(classifier, at)
                found = RecycledProjection(products, inverse, v, RTOL, 200)
                self.iterations.append(found.iterations)
                rows = torch.stack([oracle.contrasts(exact, one) for one in at])
                true = project(rows, v)
                error = self.without_weak_directions(found.projection - true, rows)
                self.errors.append(float((error.norm(dim=1) / true.norm(dim=1)).max()))
                # A step along the projection, and one across the row space.
                for other in (found.projection * 0.1, v - true):
                    expected = project(rows, other).square().sum(1)
                    share = (
                        square_of(other, found, products) - expected
                    ).abs() / other.square().sum(1)
                    self.squares.append(float(share.max()))

    def without_weak_directions(self, v: Tensor, rows: Tensor) -> Tensor:
        _, values, directions = torch.linalg.svd(rows, full_matrices=False)
        values = values / values[:, :1]
        present = values > 1e-10
        self.least.append(float(values[present].min()))
        weak = directions * (present & (values < WEAK)).unsqueeze(2)
        return v - (weak.mT @ (weak @ v.unsqueeze(2))).squeeze(2)


def project(rows: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    solution = torch.linalg.lstsq(rows.mT, v.unsqueeze(-1), driver="gelsd").solution
    return (rows.mT @ solution).squeeze(-1)


def unit(v: Tensor) -> Tensor:
    return v / v.norm()


def vanishing(seed: int, classes: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a model, inputs, and short steps along which a direction of D_x vanishes and returns.

    GELU has the slope zero at one point, at which the gradients through a unit vanish.
    """
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(300, 64), nn.GELU(), nn.Linear(64, classes))
    x, direction = torch.randn(2, 2, 300)
    direction = 0.003 * unit(direction)
    with torch.no_grad():
        value = model[0](x[0] + 3.4 * direction[0])[5]
        model[0].bias[5] += FLAT_GELU - value
    return model, x, direction


@pytest.mark.parametrize(("seed", "classes"), [(SEED, 200), (SEED, 700), (3, 700)])
def test_a_direction_that_vanishes_along_a_path_does_not_spoil_the_others(seed, classes):
    along = Along(*vanishing(seed, classes), points=8)
    assert min(along.least) < 5e-5
    assert max(along.errors[2:]) < 5 * RTOL
    assert max(along.iterations[3:]) < 20


def test_rounding_noise_would_spoil_the_inverse(monkeypatch):  # negative control
    monkeypatch.setattr(recycled_projection, "ROUNDING_ERRORS", 0)
    assert max(max(Along(*vanishing(seed, 200), points=6).errors[2:]) for seed in (1, 3)) > 0.1


def relative(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return (found - true).norm(dim=1) / true.norm(dim=1)


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "attention"])
def test_few_iterations_give_the_projection_at_the_next_point(name):
    model, x = many_classes.make(name, SEED, batch=2)
    direction = STEP * unit(torch.randn_like(x))
    along = Along(model, x, direction)
    forgetful = Along(model, x, direction, points=3, forget=True)
    assert max(along.errors) < 4 * RTOL
    assert sorted(along.errors)[len(along.errors) // 2] < RTOL
    assert max(along.squares) < RTOL
    late = along.iterations[3:]
    assert 2 * sum(late) / len(late) < min(forgetful.iterations)  # negative control


def test_a_path_that_is_not_finite_does_not_change_the_others():
    model, x = many_classes.make("attention", SEED)
    v = torch.randn(3, 96, dtype=torch.float64)
    spoiled = x.clone()
    spoiled[1] = torch.nan
    projections = []
    for inputs in (x, spoiled):
        with measuring(model) as classifier:
            inverse = InverseGram(3, many_classes.CLASSES, x.device)
            for shift in (0.0, 1e-3):
                products = Products(classifier, inputs + shift)
                found = RecycledProjection(products, inverse, v, RTOL, 200)
            projections.append(found)
    assert projections[1].residual.isfinite().tolist() == [True, False, True]
    for path in (0, 2):
        rows = [each.projection[path : path + 1] for each in projections]
        assert relative(*rows) < 2 * RTOL


def test_new_paths_do_not_use_the_inverses_of_others():
    inverse = InverseGram(2, 3, torch.device("cpu"))
    p = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    r = torch.randn(2, 3, dtype=torch.float64)
    found = inverse.update(p, 4 * p, 4 * torch.ones(2, dtype=torch.float64), r)
    assert torch.allclose(found, inverse @ r)
    assert torch.allclose(inverse @ (4 * p), p)
    inverse.age += 1
    following = inverse.select(torch.tensor([1])).extended(1)
    assert following.age.tolist() == [1, 0]
    assert torch.allclose(following.matrix[0], inverse.matrix[1])
    assert torch.equal(following.matrix[1], torch.eye(3, dtype=torch.float64))


def test_zero_gradients_have_the_projection_zero():
    model = nn.Sequential(nn.Linear(300, 20), nn.ReLU(), nn.Linear(20, 200))
    model[0].bias.data.fill_(-1e3)
    v = torch.randn(2, 300, dtype=torch.float64)
    with measuring(model) as classifier:
        inverse = InverseGram(2, 200, v.device)
        for _ in range(3):
            products = Products(classifier, torch.randn(2, 300))
            found = RecycledProjection(products, inverse, v, RTOL, 200)
            assert (found.projection == 0).all()
            assert (square_of(v, found, products) == 0).all()
            assert found.residual.isfinite().all()


@pytest.mark.parametrize("scale", [1e-16, 1e-8, 1.0, 1e12])
def test_the_scale_of_the_scores_does_not_matter(scale):
    model, x = many_classes.make("perceptron", SEED, batch=2)
    v = torch.randn(2, 300, dtype=torch.float64)
    projections = []
    for factor in (1.0, scale):
        with measuring(lambda x, factor=factor: factor * model(x)) as classifier:
            inverse = InverseGram(2, many_classes.CLASSES, x.device)
            for _ in range(3):
                found = RecycledProjection(Products(classifier, x), inverse, v, RTOL, 200)
        projections.append(found.projection)
    assert relative(*projections).max() < 2 * RTOL
    assert projections[0].norm() > 1
