"""Derivatives are those of the function x → p, also where autograd does not lead to the input."""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, MatrixFreeDataMatrix, horizontal_path
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.trial import derivatives
from tests.support.oracle import data_matrix


def traces(model, x) -> list[float]:
    """Return tr G in float64, of a model that is differentiable as it is."""
    return data_matrix(copy.deepcopy(model).double(), x).diagonal(dim1=1, dim2=2).sum(1).tolist()


class Parts(nn.Module):
    """A head on features, with the same values however the features are computed."""

    def __init__(self, features, width: int = 8) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(12, 8), nn.Tanh())
        self.other = nn.Sequential(nn.Linear(12, 8), nn.Tanh())
        self.head = nn.Linear(width, 3)
        self.register_buffer("queue", torch.zeros(4, 8))
        self.features = features

    def forward(self, x):
        return self.head(self.features(self, x))


def under_no_grad(model, x):
    with torch.no_grad():
        return model.backbone(x)


@torch.no_grad()
def decorated(model, x):
    return model.backbone(x)


def between_switches(model, x):
    torch.set_grad_enabled(False)
    features = model.backbone(x)
    torch.set_grad_enabled(True)
    return features


def that_fill_a_queue(model, x):
    with torch.no_grad():
        model.backbone[0].weight.mul_(1.0)
        features = model.backbone(x)
        model.queue[: len(x)] = features
        model.queue[1].mul_(0.5)
        torch._foreach_mul_([model.queue], 0.5)
    return features


def beside_others(model, x):
    with torch.no_grad():
        frozen = model.backbone(x)
    return torch.cat([frozen, model.other(x)], 1)


HIDDEN = {
    "block": (under_no_grad, 8),
    "decorator": (decorated, 8),
    "function": (between_switches, 8),
    "queue": (that_fill_a_queue, 8),
    "two branches": (beside_others, 16),
}


@pytest.fixture
def x():
    return torch.rand(4, 12)


def made(features, width: int = 8) -> Parts:
    torch.manual_seed(0)
    return Parts(features, width)


def open_features(features):
    """The same function with derivatives."""
    if features is beside_others:
        return lambda model, x: torch.cat([model.backbone(x), model.other(x)], 1)
    return lambda model, x: model.backbone(x)


@pytest.mark.parametrize(("features", "width"), HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
def test_no_grad_does_not_hide_derivatives(features, width, frozen, x):
    model = made(features, width).requires_grad_(not frozen)
    expected = traces(made(open_features(features), width), x)
    before = copy.deepcopy(model.state_dict())
    assert LocalDataMatrix.at(model, x).trace().tolist() == pytest.approx(expected, rel=1e-5)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(buffer.requires_grad for buffer in model.buffers())
    # Negative control: autograd alone.
    model.eval()
    with measuring(model) as classifier:
        gradient = derivatives(classifier._run, x).gradient
    through = made(open_features(features), width)
    with measuring(through) as classifier:
        true = derivatives(classifier._run, x).gradient
    assert gradient is None or not torch.allclose(gradient, true, rtol=1e-2)


def test_products_and_paths_lead_through_no_grad(x):
    model = made(under_no_grad)
    expected = traces(made(open_features(under_no_grad)), x)
    products = MatrixFreeDataMatrix.at(model, x)
    again = products.spectrum().eigenvalues.sum(1)  # the classifier is opened again
    assert again.tolist() == pytest.approx(expected, rel=1e-3)
    path = horizontal_path(model, x[:1], x[1:2], max_steps=2, progress=False)
    assert path.steps.tolist() == [2]


class Decorated(Parts):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def test_a_decorated_forward_does_not_hide_derivatives(x):
    torch.manual_seed(0)
    model = Decorated(open_features(None))
    expected = traces(made(open_features(None)), x)
    assert LocalDataMatrix.at(model, x).trace().tolist() == pytest.approx(expected, rel=1e-5)


STRAIGHT_THROUGH = {
    "detach": lambda x: x + (torch.round(16 * x) / 16 - x).detach(),
    "no_grad": lambda x: x + _rounding(x),
}


@torch.no_grad()
def _rounding(x):
    return torch.round(16 * x) / 16 - x


def nearest(x):
    """Return the nearest of four points, with the derivative of the identity."""
    points = torch.tensor([[0.1], [0.4], [0.6], [0.9]]).expand(4, 400).to(x)
    with torch.no_grad():
        step = points[torch.cdist(x, points).argmin(1)] - x
    return x + step


def test_zero_derivatives_of_a_nearest_point_are_replaced_on_purpose():
    x = torch.rand(4, 400)
    torch.manual_seed(0)
    linear = nn.Linear(400, 3)
    expected = traces(linear, nearest(x))
    g = LocalDataMatrix.at(lambda x: linear(nearest(x)), x)
    assert g.trace().tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("quantize", STRAIGHT_THROUGH.values(), ids=STRAIGHT_THROUGH.keys())
def test_straight_through_estimators_keep_their_derivatives(quantize):
    x = torch.rand(4, 400)
    torch.manual_seed(0)
    linear = nn.Linear(400, 3)
    rounded = torch.round(16 * x) / 16
    expected = traces(linear, rounded)  # ∇s is constant, p is that of the rounded input
    g = LocalDataMatrix.at(lambda x: linear(quantize(x)), x)
    assert g.trace().tolist() == pytest.approx(expected, rel=1e-5)


def with_data(model, x):
    return model.backbone(x.data)


def with_numpy(model, x):
    return torch.from_numpy(model.backbone(x).detach().numpy())


def one_hot_of_the_largest(model, x):
    return nn.functional.one_hot(model.backbone(x).argmax(1), 8).float()


def rounded(model, x):
    return model.backbone(torch.round(100 * x) / 100)


CUT = {
    "detach": (lambda model, x: model.backbone(x).detach(), r"grad_fn.*\.detach\(\)"),
    "data": (with_data, r"grad_fn.*\.data"),
    "NumPy": (with_numpy, "grad_fn.*NumPy"),
    "argmax": (one_hot_of_the_largest, "grad_fn.*argmax"),
    "round": (rounded, "derivative is zero.*round"),
    "copied": (
        lambda model, x: torch.inference_mode()(model.backbone)(x).clone(),
        r"grad_fn.*torch.inference_mode\(\)",
    ),
    "inference": (torch.inference_mode()(lambda m, x: m.backbone(x)), "inference_mode.*no_grad"),
}


@pytest.mark.parametrize(("features", "message"), CUT.values(), ids=CUT.keys())
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
def test_missing_derivatives_of_scores_that_change_are_refused(features, message, frozen, x):
    model = made(features).requires_grad_(not frozen)
    if frozen and features is CUT["inference"][0]:
        message = "grad_fn"
    with pytest.raises(LeafError, match=message):
        LocalDataMatrix.at(model, x)


def test_the_advice_for_missing_derivatives_works(x):
    model = made(CUT["detach"][0])
    expected = traces(made(open_features(None)), x)
    g = LocalDataMatrix.at(model, x, forward=lambda m, x: m.head(m.backbone(x)))
    assert g.trace().tolist() == pytest.approx(expected, rel=1e-5)


def test_a_backbone_in_half_precision_under_no_grad_is_measured(x):
    def half(model, x):
        with torch.no_grad():
            return model.backbone(x.bfloat16()).float()

    model = made(half)
    model.backbone.bfloat16()
    same = made(open_features(None))
    same.backbone.load_state_dict(model.backbone.state_dict())
    expected = traces(same, x)
    assert LocalDataMatrix.at(model, x).trace().tolist() == pytest.approx(expected, rel=1e-5)


CONSTANT = {
    "zero head": lambda model, x: 0 * model.backbone(x),
    "inactive units": lambda model, x: torch.relu(model.backbone(x) - 2),
    "saturated": lambda model, x: torch.sigmoid(100 * model.backbone(x) - 1000),
    "unused input": lambda model, x: torch.ones(len(x), 8),
}


@pytest.mark.parametrize("features", CONSTANT.values(), ids=CONSTANT.keys())
def test_constant_scores_have_a_zero_matrix(features, x):
    """Negative control: their derivatives are zero as well."""
    assert LocalDataMatrix.at(made(features), x).trace().tolist() == [0] * 4


def test_a_single_point_without_derivative_is_measured():
    """A network of ReLU units without biases at a black image: autograd returns zero there."""
    model = nn.Sequential(nn.Linear(12, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    g = LocalDataMatrix.at(model, torch.zeros(2, 12))
    assert g.trace().tolist() == [0, 0]


class Recorded(Parts):
    def forward(self, x):
        self.batches.append(len(x))
        return super().forward(x)


def test_ordinary_models_take_one_pass_to_check(x):
    for features, passes in ((lambda model, x: model.backbone(x), 1), (under_no_grad, 2)):
        model = Recorded(features)
        model.batches = []
        with measuring(model) as classifier:
            classifier.require_usable(x)
            assert len(model.batches) == passes
            classifier.require_usable(x)
            assert len(model.batches) == passes
