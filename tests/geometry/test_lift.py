"""Lifts, exact and by products, against dense float64 solutions."""

import pytest
import torch

from lightning_leaf.geometry.lift import lift
from lightning_leaf.geometry.matrix_free.iterative_lift import iterative_lift
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.score_weights import score_weights
from lightning_leaf.geometry.tangent_space import TangentSpace
from lightning_leaf.model.classifier import measuring
from tests.support import oracle
from tests.support.cases import CASES, fresh_seeds

CASE_NAMES = ("linear", "image_cnn", "dependent_scores")
BY_NAME = {case.name: case for case in CASES}


def dense(model, x, change, damping, free, likelihood, relative_to):
    """Return v = Aᵀ(AAᵀ + μI)⁻¹c of every input, from autograd and a dense solve."""
    found = []
    for i, single in enumerate(x):
        log_p, gradients = oracle.rows(
            model, single, lambda s: oracle.outcomes(s, likelihood)[: s.shape[0]]
        )
        weights = 0.5 * log_p
        if likelihood == "bernoulli":  # ∇ log p = (1 − p) ∇s
            weights = weights - 0.5 * torch.log1p(-log_p.exp())
        factor = weights.exp()[:, None] * gradients
        if free is not None:
            factor = factor * free[i]
        gram = factor @ factor.T
        values = torch.linalg.eigvalsh(gram)
        shift = damping * (values[-1] if relative_to == "largest" else values.sum())
        solution = torch.linalg.solve(gram + shift * torch.eye(len(gram)).double(), change[i])
        found.append(factor.T @ solution)
    return torch.stack(found)


def made(name, seed, likelihood):
    model, x = BY_NAME[name].make(seed, batch=3)
    model, x = model.eval().double(), x.double()
    log_probs = torch.stack(
        [
            oracle.outcomes(model(each[None])[0].detach(), likelihood)[: BY_NAME[name].classes]
            for each in x
        ]
    )
    generator = torch.Generator().manual_seed(seed)
    change = torch.randn(log_probs.shape, generator=generator, dtype=torch.float64)
    if likelihood == "categorical":  # changes of ξ = 2√p are tangent to the sphere
        root = (0.5 * log_probs).exp()
        change = change - root * (root * change).sum(1, keepdim=True)
    free = torch.rand(3, x[0].numel(), generator=generator) < 0.7
    return model, x, log_probs, change, free


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli"])
@pytest.mark.parametrize("name", CASE_NAMES)
@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("seed", fresh_seeds(1))
def test_lifts_agree_with_dense_solutions(name, likelihood, restricted, seed):
    model, x, log_probs, change, free = made(name, seed, likelihood)
    mask = free if restricted else None
    weights = score_weights(log_probs, likelihood)
    rows = torch.stack([oracle.spanning(model, each, likelihood) for each in x])
    space = TangentSpace(rows if mask is None else rows * mask[:, None])
    v, scores = lift(space, weights, change, 1e-3)
    expected = dense(model, x, change, 1e-3, mask, likelihood, "trace")
    torch.testing.assert_close(v, expected, rtol=1e-6, atol=1e-8)
    undamped = dense(model, x, change, 1e-9, mask, likelihood, "trace")
    assert not torch.allclose(v, undamped, rtol=1e-4)

    with measuring(model, likelihood=likelihood) as classifier:
        products = Products(classifier, x)
        found = iterative_lift(
            products, weights, change, 1e-3, rtol=1e-9, max_iterations=40, free=mask
        )
    expected = dense(model, x, change, 1e-3, mask, likelihood, "largest")
    torch.testing.assert_close(found.v, expected, rtol=1e-6, atol=1e-8)
    for vector, change_of_scores in ((v, scores), (found.v, found.scores)):
        _, tangent = torch.autograd.functional.jvp(model, x, vector.reshape(x.shape))
        difference = change_of_scores - tangent
        if likelihood == "categorical":
            difference = difference - difference.mean(1, keepdim=True)
        assert float(difference.abs().max()) < 1e-7


def test_each_input_may_have_its_own_damping():
    model, x, log_probs, change, _ = made("linear", 0, "categorical")
    space = TangentSpace(torch.stack([oracle.contrasts(model, each) for each in x]))
    weights = score_weights(log_probs, "categorical")
    damping = torch.tensor([1e-1, 1e-3, 1e-5], dtype=torch.float64)
    v, _ = lift(space, weights, change, damping)
    for row, each in enumerate(damping.tolist()):
        torch.testing.assert_close(v[row], lift(space, weights, change, each)[0][row])


def test_an_input_without_gradients_stays_and_changes_no_other():
    model, x, log_probs, change, _ = made("linear", 0, "categorical")
    rows = torch.stack([oracle.contrasts(model, each) for each in x])
    weights = score_weights(log_probs, "categorical")
    expected, _ = lift(TangentSpace(rows), weights, change, 1e-4)
    rows[1] = 0
    v, scores = lift(TangentSpace(rows), weights, change, 1e-4)
    assert bool((v[1] == 0).all() & (scores[1] == 0).all())
    torch.testing.assert_close(v[[0, 2]], expected[[0, 2]])
