"""G = Σ_k p_k (1 − p_k) ∇s_k ∇s_kᵀ of independent labels, against the float64 oracle."""

import copy
import math

import pytest
import torch
from torch import nn

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    MatrixFreeDataMatrix,
    effective_rank,
    fisher_rao_distance,
    fisher_rao_length,
    local_geometry,
)
from lightning_leaf.geometry.matrix_free.products import Products
from lightning_leaf.geometry.matrix_free.trace_estimate import estimate_trace
from lightning_leaf.geometry.protocol import DataMatrix
from lightning_leaf.model.classifier import measuring
from tests.support import many_classes, oracle
from tests.support.agreement import relative
from tests.support.cases import LABEL_CASES, fresh_seeds

KINDS: list[type[DataMatrix]] = [LocalDataMatrix, MatrixFreeDataMatrix]
TOLERANCE = {LocalDataMatrix: 1e-5, MatrixFreeDataMatrix: 2e-3}
ROUNDING = 1e-5
BY_NAME = {case.name: case for case in LABEL_CASES}
SEED = fresh_seeds(1)[0]


@pytest.fixture(params=LABEL_CASES, ids=str, scope="module")
def case(request):
    return request.param


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__, scope="module")
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def measured(case, kind):
    """The model in float64, its inputs, G by definition and a float32 measurement of it."""
    model, x = case.make(SEED)
    exact = copy.deepcopy(model).double().eval()
    expected = oracle.data_matrix(exact, x, "bernoulli")
    return exact, x, expected, kind.at(model, x, likelihood="bernoulli")


def test_the_matrix_and_its_spectrum_agree_with_the_definition(measured, kind):
    _, _, expected, g = measured
    trace = expected.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
    assert relative(g.trace().unsqueeze(1), trace) < ROUNDING
    assert (g.trace_estimate().standard_error == 0).all()  # all labels fit into the 64 draws
    values = torch.linalg.eigvalsh(expected).flip(1)
    labels, size = g.log_probs.shape[1], expected.shape[1]
    spectrum = torch.zeros(len(g), labels).double()
    spectrum[:, : min(labels, size)] = values[:, : min(labels, size)]
    assert relative(g.eigenvalues(labels), spectrum) < TOLERANCE[kind]
    bounded = g.spectrum(min(2, labels))
    error = (bounded.eigenvalues - spectrum[:, : bounded.eigenvalues.shape[1]]).abs()
    assert (error <= bounded.error_bound + ROUNDING * spectrum[:, :1]).all()
    if isinstance(g, LocalDataMatrix):
        assert relative(g.dense(), expected) < ROUNDING


def test_products_agree_with_the_dense_matrix(measured):
    _, x, expected, g = measured
    v, c = torch.randn_like(x).double(), torch.randn_like(g.log_probs)
    scale = torch.linalg.matrix_norm(expected, ord=2)
    length = torch.linalg.vector_norm(v.flatten(1), dim=1)
    product = (expected @ v.flatten(1).unsqueeze(2)).squeeze(2)
    error = torch.linalg.vector_norm((g @ v).flatten(1) - product, dim=1)
    assert (error < 1e-5 * scale * length).all()
    pushed = g.pushforward(v)
    adjoint = (pushed * c).sum(1) - (g.pullback(c) * v).flatten(1).sum(1)
    assert (adjoint.abs() < 1e-5 * (scale * c.square().sum(1)).sqrt() * length).all()
    square = (product * v.flatten(1)).sum(1)
    assert ((pushed.square().sum(1) - square).abs() < 1e-5 * scale * length.square()).all()


def test_the_tangent_space_is_spanned_by_the_gradients_of_all_labels(measured, kind):
    exact, x, expected, g = measured
    v = torch.randn_like(x)
    assert (g.project(v) - oracle.project(exact, x, v, "bernoulli")).norm() < (
        TOLERANCE[kind] * v.norm()
    )
    rejected = (g @ g.reject(v.double())).norm()
    assert rejected < TOLERANCE[kind] * torch.linalg.matrix_norm(expected).norm() * v.norm()
    if isinstance(g, LocalDataMatrix):
        rows = [oracle.spanning(exact, one, "bernoulli") for one in x]
        ranks = [int(torch.linalg.matrix_rank(each, rtol=1e-9)) for each in rows]
        assert g.tangent_dimension().tolist() == ranks


def test_log_probabilities_are_those_of_every_label(measured):
    exact, x, _, g = measured
    scores = exact(x.double()).detach()
    assert torch.allclose(g.log_probs, nn.functional.logsigmoid(scores), rtol=1e-4, atol=1e-30)
    assert (g.log_probs.dtype, g.likelihood) == (torch.float64, "bernoulli")


@pytest.mark.parametrize("name", ["linear", "image_cnn", "signal"])
def test_exclusive_classes_have_another_matrix(name, kind):
    """Negative control: the comparisons above would fail with the default likelihood."""
    model, x = BY_NAME[name].make(SEED)
    expected = oracle.data_matrix(copy.deepcopy(model).double().eval(), x, "bernoulli")
    categorical, labels = kind.at(model, x), kind.at(model, x, likelihood="bernoulli")
    trace = expected.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
    assert relative(categorical.trace().unsqueeze(1), trace) > 0.01
    assert not torch.allclose(categorical.project(x), labels.project(x), atol=1e-3)


def test_one_label_is_a_binary_classifier(kind):
    model, x = BY_NAME["one_label"].make(SEED)
    label, binary = kind.at(model, x, likelihood="bernoulli"), kind.at(model, x)
    assert (label.log_probs.shape[1], binary.log_probs.shape[1]) == (1, 2)
    assert torch.allclose(label.trace(), binary.trace(), rtol=1e-5)
    assert torch.allclose(label.eigenvalues(1), binary.eigenvalues(1), rtol=1e-5)
    assert torch.allclose(label @ x, binary @ x, rtol=1e-4, atol=1e-9)
    assert torch.allclose(label.project(x), binary.project(x), rtol=1e-4, atol=1e-6)
    # log p of the class 1, whose logit is the single score.
    assert torch.allclose(label.log_probs, binary.log_probs[:, 1:], rtol=1e-5)


def test_saturated_labels_keep_their_weight(kind):
    """Negative control: p (1 − p) from float64 probabilities is zero for a logit of 40."""
    model = nn.Linear(20, 3, bias=False).double()
    scores = torch.tensor([[40.0, -40.0, 700.0]]).double()
    x = torch.linalg.pinv(model.weight.detach()) @ scores[0]
    g = kind.at(model, x.unsqueeze(0), likelihood="bernoulli")
    weight = model.weight.detach().square().sum(1)
    expected = math.exp(-40) * (weight[0] + weight[1]) + math.exp(-700) * weight[2]
    assert g.trace().item() == pytest.approx(float(expected), rel=1e-6)
    p = scores.sigmoid()
    assert (p * (1 - p))[0, 0] == 0


@pytest.mark.parametrize("name", ["perceptron", "confident perceptron", "convolutions"])
def test_estimates_of_many_labels_are_unbiased(name):
    """See test_matrix_free.py for the bounds."""
    model, x = many_classes.make(name, SEED)
    model, x = model.double(), x.double()
    exact = LocalDataMatrix.at(model, x, likelihood="bernoulli")
    repeats = 100
    many = x.repeat(repeats, *[1] * (x.ndim - 1))
    trace = exact.trace().repeat(repeats)
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(trace))]
    with measuring(model, likelihood="bernoulli") as classifier:
        products = Products(classifier, many)
        variances = products.weights.variances
        estimate = estimate_trace(products.pullback, variances, 32, generators)
    scores = ((estimate.value - trace) / estimate.standard_error).reshape(repeats, -1)
    assert scores.median(0).values.abs().max() < 0.8
    assert 0.35 < scores.abs().median() < 1.2
    wrong = 1.5 * trace.reshape(repeats, -1)  # negative control
    wrong = (estimate.value.reshape(repeats, -1) - wrong) / estimate.standard_error.reshape(
        repeats, -1
    )
    assert wrong.median(0).values.abs().min() > 0.8


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "attention"])
def test_many_labels_are_measured_by_products(name):
    model, x = many_classes.make(name, SEED)
    double = copy.deepcopy(model).double()
    exact = LocalDataMatrix.at(double, x.double(), likelihood="bernoulli")
    geometry = local_geometry(model, x, likelihood="bernoulli", ranks=["stable"])
    assert not geometry.exact
    error = (geometry.trace - exact.trace()).abs()
    assert (error < 6 * geometry.standard_error + 0.01 * exact.trace()).all()
    values = exact.eigenvalues()
    assert torch.allclose(geometry.eigenvalues, values[:, :8], rtol=0.02)
    stable = effective_rank(values, "stable")
    assert torch.allclose(geometry.effective_rank["stable"], stable, rtol=0.15)
    v = torch.randn_like(x)
    g = MatrixFreeDataMatrix.at(model, x, likelihood="bernoulli")
    assert relative(g.project(v), exact.project(v.double())) < 0.02
    categorical = LocalDataMatrix.at(double, x.double())  # negative control
    assert relative(categorical.trace().unsqueeze(1), exact.trace().unsqueeze(1)) > 0.1


def test_local_geometry_agrees_with_the_oracle(case):
    model, x = case.make(SEED)
    expected = oracle.data_matrix(copy.deepcopy(model).double().eval(), x, "bernoulli")
    geometry = local_geometry(model, x, likelihood="bernoulli", chunk_size=2)
    assert geometry.exact
    trace = expected.diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(geometry.trace, trace, rtol=1e-5, atol=0)
    rank = effective_rank(torch.linalg.eigvalsh(expected))
    assert torch.allclose(geometry.effective_rank["entropy"], rank, rtol=1e-4)
    assert geometry.log_probs.shape == (len(x), case.classes)
    assert (geometry.tangent_dimension <= min(case.classes, x[0].numel())).all()


def test_an_open_classifier_has_its_own_likelihood():
    model, x = BY_NAME["linear"].make(SEED)
    expected = LocalDataMatrix.at(model, x, likelihood="bernoulli").trace()
    with measuring(model, likelihood="bernoulli") as classifier:
        assert torch.equal(local_geometry(classifier, x).trace, expected)
        lazily = MatrixFreeDataMatrix.at(classifier, x)
        with pytest.raises(LeafError, match="got an open classifier"):
            local_geometry(classifier, x, likelihood="categorical")
    # Results after the end of the measurement, for which the model is opened again.
    assert torch.allclose(lazily.trace(), expected, rtol=1e-4)


def test_distances_are_those_of_a_product_of_circles():
    log_p, log_q = nn.functional.logsigmoid(3 * torch.randn(2, 20, 5).double())
    p, q = log_p.exp(), log_q.exp()
    angles = 2 * (p.sqrt().acos() - q.sqrt().acos())  # of the point (√p, √(1 − p)), times two
    expected = torch.linalg.vector_norm(angles, dim=-1)
    assert torch.allclose(fisher_rao_distance(log_p, log_q, "bernoulli"), expected, rtol=1e-10)
    assert not torch.allclose(fisher_rao_distance(log_p, log_q), expected, rtol=0.1)
    # One label is one binary classifier.
    pair = [torch.stack([log, (-log.expm1()).log()], -1) for log in (log_p[:, 0], log_q[:, 0])]
    one = fisher_rao_distance(log_p[:, :1], log_q[:, :1], "bernoulli")
    assert torch.allclose(one, fisher_rao_distance(*pair), rtol=1e-12)


def test_distances_of_saturated_labels_are_accurate():
    """√(1 − p) changes where √p rounds to one. Negative control: arccos of √p is zero."""
    scores = torch.tensor([[40.0], [42.0]]).double()
    log_p, log_q = nn.functional.logsigmoid(scores)
    expected = 2 * (math.exp(-20) - math.exp(-21))
    distance = fisher_rao_distance(log_p, log_q, "bernoulli").item()
    assert distance == pytest.approx(expected, rel=1e-8)
    assert (log_p / 2).exp().acos().item() == (log_q / 2).exp().acos().item() == 0
    certain = nn.functional.logsigmoid(torch.tensor([[1e4, -1e4, 1e4], [-1e4, 1e4, 1e4]]).double())
    longest = fisher_rao_distance(certain[0], certain[1], "bernoulli").item()
    assert longest == pytest.approx(math.sqrt(2) * math.pi, rel=1e-12)


def test_the_length_of_a_short_step_is_its_length_in_the_metric():
    """ds² = δᵀGδ."""
    model, x = BY_NAME["signal"].make(SEED)
    model, x = model.double().eval(), x.double()
    g, v = LocalDataMatrix.at(model, x, likelihood="bernoulli"), 1e-4 * torch.randn_like(x)
    expected = ((g @ v) * v).flatten(1).sum(1).sqrt()
    moved = nn.functional.logsigmoid(model(x + v).detach())
    curve = torch.stack([g.log_probs, moved], dim=1)
    length = fisher_rao_length(curve, "bernoulli")
    assert torch.allclose(length[:, 1], expected, rtol=1e-2)
    assert (length[:, 0] == 0).all()


def test_an_unknown_likelihood_raises_an_error(kind):
    model, x = BY_NAME["linear"].make(SEED)
    for call in (kind.at, local_geometry):
        with pytest.raises(LeafError, match=r"likelihood expects.*'multilabel'"):
            call(model, x, likelihood="multilabel")
    with pytest.raises(LeafError, match=r"likelihood expects.*'labels'"):
        fisher_rao_distance(x, x, "labels")
