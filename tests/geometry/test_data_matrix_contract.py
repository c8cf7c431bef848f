"""What every DataMatrix promises, for both implementations, against the float64 oracle."""

import copy

import pytest
import torch

from lightning_leaf import LeafError, LocalDataMatrix, MatrixFreeDataMatrix
from lightning_leaf.geometry.protocol import DataMatrix
from lightning_leaf.model.classifier import measuring
from tests.support import oracle
from tests.support.agreement import relative
from tests.support.cases import CASES, Case, fresh_seeds

KINDS: list[type[DataMatrix]] = [LocalDataMatrix, MatrixFreeDataMatrix]
TOLERANCE = {LocalDataMatrix: 1e-5, MatrixFreeDataMatrix: 2e-3}
ROUNDING = 1e-5
IMAGES = CASES[1]  # inputs of shape (1, 10, 10), ten classes


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request) -> Case:
    return request.param


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__, scope="module")
def kind(request):
    return request.param


@pytest.fixture(params=fresh_seeds(1), scope="module")
def measured(case, kind, request):
    """The model in float64, its inputs, G by definition and a float32 measurement of it."""
    model, x = case.make(request.param)
    exact = copy.deepcopy(model).double().eval()
    return exact, x, oracle.data_matrix(exact, x), kind.at(model, x)


@pytest.fixture(scope="module")
def images(kind):
    """Inputs and matrices of images."""
    model, x = IMAGES.make(8)
    return x, kind.at(model, x)


def test_the_trace_agrees_with_its_definition(measured):
    _, _, expected, g = measured
    trace = expected.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
    assert relative(g.trace().unsqueeze(1), trace) < ROUNDING
    estimate = g.trace_estimate()
    assert torch.equal(estimate.value, g.trace())
    assert (estimate.standard_error == 0).all()  # all classes fit into the 64 draws


def test_leading_eigenvalues_are_those_of_the_dense_matrix(measured, kind):
    _, _, expected, g = measured
    dense = torch.linalg.eigvalsh(expected).flip(1)[:, :2]
    assert relative(g.eigenvalues(2), dense) < TOLERANCE[kind]
    spectrum = g.spectrum(2)
    assert relative(spectrum.eigenvalues[:, :2], dense) < TOLERANCE[kind]
    floor = ROUNDING * dense[:, :1]
    error = (spectrum.eigenvalues[:, :2] - dense).abs()
    assert (error <= spectrum.error_bound[:, :2] + floor).all()


def test_the_product_agrees_with_the_dense_matrix(measured):
    _, x, expected, g = measured
    v = torch.randn_like(x)
    product = (expected @ v.double().flatten(1).unsqueeze(2)).reshape(v.shape)
    # Relative to the typical size of G v: a random v can be nearly in ker G.
    usual = torch.linalg.matrix_norm(expected, ord=2) / expected.shape[1] ** 0.5
    usual = usual * torch.linalg.vector_norm(v.flatten(1), dim=1)
    error = torch.linalg.vector_norm((g @ v - product).flatten(1), dim=1)
    assert (error < 1e-4 * usual).all()


def test_pushforward_and_pullback_are_transposed_and_multiply_to_the_matrix(measured):
    _, x, expected, g = measured
    v, c = torch.randn_like(x).double(), torch.randn_like(g.log_probs)
    pushed = g.pushforward(v)
    along = (pushed * c).sum(1)
    across = (g.pullback(c) * v).flatten(1).sum(1)
    square = pushed.square().sum(1)
    flat = v.flatten(1).unsqueeze(1)
    dense_square = (flat @ expected @ flat.mT).flatten()
    scale = torch.linalg.matrix_norm(expected, ord=2) * v.flatten(1).square().sum(1)
    assert ((along - across).abs() < 1e-4 * (scale * c.square().sum(1)).sqrt()).all()
    assert ((square - dense_square).abs() < 1e-4 * scale).all()


def test_the_projection_agrees_with_an_orthonormal_basis(measured, kind):
    exact, x, _, g = measured
    v = torch.randn_like(x)
    expected, projection = oracle.project(exact, x, v), g.project(v)
    assert relative(projection, expected) < TOLERANCE[kind]
    assert torch.allclose(g.reject(v), v - projection)
    # Negative control: the projection of the vectors of other inputs.
    assert relative(g.project(v.roll(1, 0)), expected) > 10 * TOLERANCE[kind]


def test_a_confident_model_does_not_round_the_matrix_to_zero(kind):
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
    # A v of the most probable class is −Σ_i p_i (∇s_i − ∇s_w)·v, and Aᵀc is
    # Σ_i √p_i c_i (∇s_i − ∇s_w).
    along = (v @ (weight[1:] - weight[0]).T * losers).sum(1)
    assert torch.allclose(g.pushforward(v)[:, 0], -along, rtol=1e-6, atol=0)
    across = (losers.sqrt() * c[:, 1:]) @ (weight[1:] - weight[0])
    assert relative(g.pullback(c), across) < 1e-8


def test_both_implementations_have_the_same_probabilities_and_shape(case, kind):
    model, x = case.make(3)
    g, other = kind.at(model, x), LocalDataMatrix.at(model, x)
    assert torch.allclose(g.log_probs, other.log_probs, rtol=1e-5, atol=1e-6)
    assert (len(g), g.shape) == (len(other), other.shape)


@pytest.mark.parametrize("chunk_size", [1, 2])
def test_the_chunk_size_does_not_change_the_result(case, kind, chunk_size):
    model, x = case.make(7)
    whole, chunked = kind.at(model, x), kind.at(model, x, chunk_size=chunk_size)
    assert torch.allclose(whole.trace(), chunked.trace(), rtol=1e-4)
    values = (whole.eigenvalues(2), chunked.eigenvalues(2))
    assert torch.allclose(*values, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("model_type", [torch.float32, torch.float64, torch.bfloat16])
def test_quantities_of_class_space_are_float64(kind, model_type):
    model, x = IMAGES.make(8)
    g = kind.at(model.to(model_type), x)
    pushed = g.pushforward(x)
    float64 = [g.log_probs, g.trace(), g.eigenvalues(), pushed, g.pullback(pushed)]
    assert [each.dtype for each in float64] == [torch.float64] * 5
    assert g.finite_derivatives().dtype is torch.bool


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_maps_of_the_input_space_keep_the_type_and_shape_of_their_argument(images, dtype):
    x, g = images
    for v in (x.to(dtype), x.flatten(1).to(dtype)):
        for result in (g @ v, g.project(v), g.reject(v)):
            assert (result.dtype, result.shape) == (dtype, v.shape)


def test_shapes(images):
    x, g = images
    assert (len(g), g.shape) == (5, (5, 100, 100))
    assert g.trace().shape == g.finite_derivatives().shape == (5,)
    assert g.pushforward(x).shape == g.log_probs.shape == (5, 10)
    assert g.pullback(g.log_probs).shape == x.shape
    for count in (1, 3, 9, 10):
        assert g.eigenvalues(count).shape == (5, count)
        spectrum = g.spectrum(count)
        assert spectrum.eigenvalues.shape[1] >= count
        assert spectrum.error_bound.shape == spectrum.eigenvalues.shape
    # G has a rank of at most C − 1.
    assert torch.allclose(g.eigenvalues(10)[:, 9], torch.zeros(5).double(), atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, g: g.project(x[:4]), r"shape \(5, 1, 10, 10\).*got \(4, 1, 10, 10\)"),
        (lambda x, g: g @ x[0], r"shape \(5, 1, 10, 10\).*got \(1, 10, 10\)"),
        (lambda x, g: g.pushforward(x.mT.flatten(0, 1)), r"got \(5, 10, 10\)"),
        (lambda x, g: g.pullback(torch.zeros(5, 9)), r"shape \(5, 10\); got \(5, 9\)"),
        (lambda x, g: g @ x.long(), r"floating-point vectors; got torch.int64"),
        (lambda x, g: g.pullback(torch.ones(5, 10).long()), r"floating-point.*got torch.int64"),
        (lambda x, g: g.eigenvalues(0), "count expects a whole number from 1 to 10; got 0"),
        (lambda x, g: g.eigenvalues(11), "count expects a whole number from 1 to 10; got 11"),
        (lambda x, g: g.spectrum(2.0), r"count expects a whole number from 1 to 10; got 2\.0"),
    ],
)
def test_unusable_arguments_raise_an_error(images, call, message):
    with pytest.raises(LeafError, match=message):
        call(*images)


def test_an_open_classifier_stands_for_its_model(kind):
    model, x = IMAGES.make(8)
    with measuring(model.train()) as classifier:
        g = kind.at(classifier, x)
        inside = g.trace()
    assert torch.equal(g.trace(), inside)  # a matrix stays valid after the measurement
    assert torch.equal(kind.at(model, x).trace(), inside)
    assert model.training


def test_the_state_of_the_model_is_restored(case, kind):
    model, x = case.make(9)
    model.train()
    before = copy.deepcopy(model.state_dict())
    g = kind.at(model, x)
    g.trace(), g.eigenvalues(), g.project(x)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
