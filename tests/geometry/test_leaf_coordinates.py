"""Coordinates on a leaf: their gradients span D_x, and the inverse function returns to log p."""

import math

import pytest
import torch

from lightning_leaf import (
    LeafError,
    LocalDataMatrix,
    leaf_coordinates,
    log_probs_at,
    prediction_path,
)
from tests.support.cases import CASES

LINEAR = next(case for case in CASES if case.name == "linear")


def helmert(classes: int) -> torch.Tensor:
    """Return the orthonormal contrasts as columns, (C, C - 1), entry by entry."""
    contrasts = torch.zeros(classes, classes - 1, dtype=torch.float64)
    for k in range(1, classes):
        for i in range(k):
            contrasts[i, k - 1] = math.sqrt(k / (k + 1)) / k
        contrasts[k, k - 1] = -math.sqrt(k / (k + 1))
    return contrasts


def log_probabilities(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return (scale * torch.randn(*shape, dtype=torch.float64)).log_softmax(-1)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_the_coordinates_are_orthonormal_contrasts(classes):
    contrasts = helmert(classes)
    log_p = log_probabilities(4, 5, classes, scale=10)
    assert torch.allclose(contrasts.T @ contrasts, torch.eye(classes - 1, dtype=torch.float64))
    assert contrasts.sum(0).abs().max() < 1e-12
    coordinates = leaf_coordinates(log_p)
    assert coordinates.shape == (4, 5, classes - 1)
    assert torch.allclose(coordinates, log_p @ contrasts, rtol=1e-12, atol=1e-11)


def test_scores_and_log_probabilities_have_the_same_coordinates():
    scores = 10 * torch.randn(20, 6, dtype=torch.float64)
    expected = leaf_coordinates(scores.log_softmax(1))
    assert torch.allclose(leaf_coordinates(scores + 100), expected, atol=1e-11)


def test_distances_do_not_depend_on_the_order_of_the_classes():
    log_p, order = log_probabilities(10, 7), torch.randperm(7)
    distances = torch.pdist(leaf_coordinates(log_p))
    assert torch.allclose(torch.pdist(leaf_coordinates(log_p[:, order])), distances)
    # Negative control: those of log-ratios to the first class do.
    ratios, other = (x[:, 1:] - x[:, :1] for x in (log_p, log_p.flip(1)))
    assert not torch.allclose(torch.pdist(ratios), torch.pdist(other), rtol=1e-2)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_the_inverse_function_returns_to_the_prediction(classes):
    log_p = log_probabilities(20, classes, scale=30)
    assert torch.allclose(log_probs_at(leaf_coordinates(log_p)), log_p, rtol=1e-12, atol=1e-10)
    coordinates = 10 * torch.randn(20, classes - 1, dtype=torch.float64)
    assert torch.allclose(leaf_coordinates(log_probs_at(coordinates)), coordinates, atol=1e-10)


def test_confident_predictions_keep_all_digits():
    """Negative control: contrasts of log of the probabilities have lost them in float32."""
    scores = torch.tensor([[60.0, 1.0, 2.0]], dtype=torch.float64)
    expected = scores @ helmert(3)
    log_p = scores.log_softmax(1)
    assert torch.allclose(leaf_coordinates(log_p), expected, rtol=1e-12)
    assert torch.allclose(leaf_coordinates(log_p.float()), expected, rtol=1e-6)
    lost = leaf_coordinates((log_p.float().exp() + 1e-12).log())
    assert not torch.allclose(lost, expected, rtol=0.1)


def test_independent_labels_have_their_logits():
    scores = torch.tensor([[-40.0, 0.0, 3.0, 30.0]], dtype=torch.float64)
    log_p = torch.nn.functional.logsigmoid(scores)
    assert torch.allclose(leaf_coordinates(log_p, "bernoulli"), scores, rtol=1e-12)
    assert torch.allclose(log_probs_at(scores, "bernoulli"), log_p, rtol=1e-12)


def test_the_gradients_of_the_coordinates_span_the_tangent_space():
    """The projection on D_x keeps them; those of another model are not kept."""
    model, x = LINEAR.make(4, batch=1)
    model, x = model.double().eval(), x.double().requires_grad_()
    coordinates = leaf_coordinates(model(x).log_softmax(1))[0]
    rows = torch.stack(
        [torch.autograd.grad(z, x, retain_graph=True)[0].flatten() for z in coordinates]
    )  # (C - 1, d)
    assert torch.linalg.matrix_rank(rows) == 3
    g = LocalDataMatrix.at(model, x.detach())
    for row in rows:
        assert torch.allclose(g.project(row[None])[0], row, rtol=1e-8, atol=1e-10)
    other = torch.randn_like(rows[:1])
    assert not torch.allclose(g.project(other), other, rtol=1e-2)


def test_coordinates_of_a_leaf_are_local_coordinates():
    """Steps in D_x reach nearby coordinates; steps across the leaves do not change them."""
    model, x = LINEAR.make(4, batch=1)
    model, x = model.double().eval(), x.double()
    g = LocalDataMatrix.at(model, x)

    def at(point: torch.Tensor) -> torch.Tensor:
        return leaf_coordinates(model(point).detach().log_softmax(1))[0]

    def jacobian(point: torch.Tensor) -> torch.Tensor:
        return leaf_coordinates(model(point.reshape(x.shape)).log_softmax(1))[0]

    rows = torch.autograd.functional.jacobian(jacobian, x.flatten())  # (C - 1, d)
    wanted = 0.1 * torch.randn(3, dtype=torch.float64)
    step = torch.linalg.pinv(rows) @ wanted
    assert torch.allclose(g.project(step[None])[0], step, rtol=1e-8, atol=1e-10)
    assert torch.allclose(at(x + step.reshape(x.shape)) - at(x), wanted, rtol=1e-6)
    across = g.reject(torch.randn_like(x.flatten(1))).reshape(x.shape)
    assert torch.allclose(at(x + across), at(x), atol=1e-8)


def test_a_prediction_path_leads_to_given_coordinates():
    model, x = LINEAR.make(4, batch=2)
    start = leaf_coordinates(model(x).detach().log_softmax(1))
    wanted = start + torch.tensor([0.3, -0.2, 0.5])
    target = log_probs_at(wanted).exp()
    path = prediction_path(model, x, target, progress=False)
    last = torch.stack([leaf_coordinates(one.log_probs[-1]) for one in path])
    assert torch.allclose(last, wanted, atol=0.02)
    assert not torch.allclose(start, wanted, atol=0.02)


def test_one_class_has_no_coordinates():
    with pytest.raises(LeafError, match=r"at least two classes.*got \(3, 1\).*bernoulli"):
        leaf_coordinates(torch.zeros(3, 1))
    with pytest.raises(LeafError, match="likelihood expects one of"):
        leaf_coordinates(torch.zeros(3, 2), "gaussian")
