"""Projections at successive points that start from what is known of the point before."""

import copy

import pytest
import torch

from lightning_leaf.geometry.matrix_free.point_projection import square_of
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.recycled_projection import InverseGram, RecycledProjection
from lightning_leaf.model.classifier import measuring
from tests.support import many_classes, oracle
from tests.support.cases import fresh_seeds

RTOL = 1e-3
STEP = 0.06
SEED = fresh_seeds(1)[0]


class Along:
    """Projections along straight lines, with the errors against float64."""

    def __init__(self, name: str, *, points: int = 6, forget: bool = False) -> None:
        model, x = many_classes.make(name, SEED, batch=2)
        exact = copy.deepcopy(model.eval()).double()
        direction, v = torch.randn(2, *x.shape, dtype=torch.float64)
        direction *= STEP / direction.flatten(1).norm()
        v = v.flatten(1)
        self.iterations: list[int] = []
        self.errors: list[float] = []
        self.squares: list[float] = []
        with measuring(model) as classifier:
            for step in range(points):
                if forget or not step:
                    inverse = InverseGram(len(x), many_classes.CLASSES, x.device)
                at = x + step * direction.float()
                products = Products(classifier, at)
                found = RecycledProjection(products, inverse, v, RTOL, 200)
                self.iterations.append(found.iterations)
                rows = torch.stack([oracle.contrasts(exact, one) for one in at])
                true = project(rows, v)
                self.errors.append(float(relative(found.projection, true).max()))
                # A step along the projection, and one across the row space.
                for other in (found.projection * 0.1, v - true):
                    expected = project(rows, other).square().sum(1)
                    share = (
                        square_of(other, found, products) - expected
                    ).abs() / other.square().sum(1)
                    self.squares.append(float(share.max()))


def project(rows: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    solution = torch.linalg.lstsq(rows.mT, v.unsqueeze(-1), driver="gelsd").solution
    return (rows.mT @ solution).squeeze(-1)


def relative(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return (found - true).norm(dim=1) / true.norm(dim=1)


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "attention"])
def test_few_iterations_give_the_projection_at_the_next_point(name):
    along, forgetful = Along(name), Along(name, points=3, forget=True)
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
    model = torch.nn.Sequential(torch.nn.Linear(300, 20), torch.nn.ReLU(), torch.nn.Linear(20, 200))
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
