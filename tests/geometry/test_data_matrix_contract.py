"""What LocalDataMatrix and MatrixFreeDataMatrix both promise, held against the float64 oracle."""

import copy

import pytest
import torch

from lightning_leaf import LocalDataMatrix, MatrixFreeDataMatrix
from tests.support import oracle
from tests.support.agreement import relative
from tests.support.cases import CASES, Case, fresh_seeds

KINDS = [LocalDataMatrix, MatrixFreeDataMatrix]
TOLERANCE = {LocalDataMatrix: 1e-5, MatrixFreeDataMatrix: 2e-3}
ROUNDING = 1e-5


@pytest.fixture(params=CASES, ids=str)
def case(request) -> Case:
    return request.param


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture(params=fresh_seeds(1))
def measured(case, kind, request):
    """The model in float64, its inputs, G by definition and a float32 measurement of it."""
    model, x = case.make(request.param)
    exact = copy.deepcopy(model).double().eval()
    return exact, x, oracle.data_matrix(exact, x), kind.at(model, x)


def test_trace_agrees_with_its_definition(measured):
    _, _, expected, g = measured
    trace = expected.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
    assert relative(g.trace().unsqueeze(1), trace) < ROUNDING


def test_leading_eigenvalues_are_those_of_the_dense_matrix(measured, kind):
    _, _, expected, g = measured
    spectrum = torch.linalg.eigvalsh(expected).flip(1)[:, :2]
    assert relative(g.eigenvalues()[:, :2], spectrum) < TOLERANCE[kind]


def test_product_agrees_with_the_dense_matrix(measured):
    _, x, expected, g = measured
    v = torch.randn_like(x)
    product = (expected @ v.double().flatten(1).unsqueeze(2)).reshape(v.shape)
    # Relative to what a random v usually gives: one that happens to lie in ker G gives nothing.
    usual = torch.linalg.matrix_norm(expected, ord=2) / expected.shape[1] ** 0.5
    usual = usual * torch.linalg.vector_norm(v.flatten(1), dim=1)
    error = torch.linalg.vector_norm((g @ v - product).flatten(1), dim=1)
    assert (error < 1e-4 * usual).all()


def test_pushforward_and_pullback_are_transposed_and_multiply_to_the_matrix(measured):
    _, x, expected, g = measured
    v, c = torch.randn_like(x).double(), torch.randn_like(g.log_probs)
    along = (g.pushforward(v) * c).sum(1)
    across = (g.pullback(c).double() * v).flatten(1).sum(1)
    square = (g.pushforward(v) ** 2).sum(1)
    flat = v.flatten(1).unsqueeze(1)
    wanted = (flat @ expected @ flat.mT).flatten()
    scale = torch.linalg.matrix_norm(expected, ord=2) * v.flatten(1).square().sum(1)
    assert ((along - across).abs() < 1e-4 * (scale * c.square().sum(1)).sqrt()).all()
    assert ((square - wanted).abs() < 1e-4 * scale).all()


def test_projection_agrees_with_an_orthonormal_basis(measured, kind):
    exact, x, _, g = measured
    v = torch.randn_like(x)
    assert relative(g.project(v), oracle.project(exact, x, v)) < TOLERANCE[kind]
    assert torch.allclose(g.reject(v), v - g.project(v))


def test_projection_would_fail_on_the_wrong_rows(measured, kind):
    """Negative control: the tolerance tells the right projection from a wrong one."""
    exact, x, _, g = measured
    v = torch.randn_like(x)
    assert relative(g.project(v.roll(1, 0)), oracle.project(exact, x, v)) > 10 * TOLERANCE[kind]


def test_certainty_does_not_drown_the_matrix_in_rounding(kind):
    """Logits a hundred apart: tr G ≈ Σ_{i≠w} p_i ‖∇s_i − ∇s_w‖² is far below float64's 1 − p_w."""
    model = torch.nn.Linear(20, 4).double()
    model.bias.data = torch.tensor([100.0, 0.0, 5.0, -5.0]).double()
    x = 0.1 * torch.randn(5, 20).double()
    weight = model.weight.detach()
    g = kind.at(model, x)
    losers = g.log_probs[:, 1:].exp()  # (B, 3)
    contrasts = (weight[1:] - weight[0]).square().sum(1)
    expected = (losers * contrasts).sum(1)
    assert (expected < 1e-30).all()
    assert torch.allclose(g.trace(), expected, rtol=1e-8, atol=0)
    assert torch.allclose(g.eigenvalues().sum(1), expected, rtol=0.02, atol=0)
    v, c = torch.randn_like(x), torch.randn_like(g.log_probs)
    # A v of the winner is −Σ_i p_i (∇s_i − ∇s_w)·v, and Aᵀc is Σ_i √p_i c_i (∇s_i − ∇s_w).
    along = (v @ (weight[1:] - weight[0]).T * losers).sum(1)
    assert torch.allclose(g.pushforward(v)[:, 0], -along, rtol=1e-6, atol=0)
    across = (losers.sqrt() * c[:, 1:]) @ (weight[1:] - weight[0])
    assert relative(g.pullback(c), across) < 1e-8


def test_probabilities_and_shapes_are_the_same(case, kind):
    model, x = case.make(3)
    g, other = kind.at(model, x), LocalDataMatrix.at(model, x)
    assert torch.allclose(g.log_probs, other.log_probs, rtol=1e-5, atol=1e-6)
    assert (len(g), g.shape) == (len(other), other.shape)


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
def test_chunks_do_not_change_the_result(case, kind, chunk_size):
    model, x = case.make(7)
    whole, chunked = kind.at(model, x), kind.at(model, x, chunk_size=chunk_size)
    assert torch.allclose(whole.trace(), chunked.trace(), rtol=1e-4)
    assert torch.allclose(
        whole.eigenvalues()[:, :2], chunked.eigenvalues()[:, :2], rtol=1e-4, atol=1e-9
    )


def test_vectors_of_another_shape_are_refused(kind):
    model, x = CASES[1].make(8)
    g = kind.at(model, x)
    with pytest.raises(ValueError, match=r"\(5, 1, 10, 10\).*got \(4, 1, 10, 10\)"):
        g.project(x[:4])
    with pytest.raises(ValueError, match=r"\(5, 10\).*got \(5, 9\)"):
        g.pullback(torch.zeros(5, 9))


def test_the_model_is_left_as_it_was(case, kind):
    model, x = case.make(9)
    model.train()
    before = copy.deepcopy(model.state_dict())
    g = kind.at(model, x)
    g.trace(), g.eigenvalues(), g.project(x)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
