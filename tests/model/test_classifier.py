"""Any classifier is measured; what cannot be measured is refused with what to do."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, horizontal_path


class Returning(nn.Module):
    """A linear classifier whose output is passed through a function."""

    def __init__(self, output, classes: int = 5) -> None:
        super().__init__()
        self.layer = nn.Linear(12, classes)
        self.output = output

    def forward(self, x):
        return self.output(self.layer(x))


@pytest.fixture
def x():
    return torch.randn(4, 12)


@pytest.fixture
def logits_model():
    torch.manual_seed(0)
    return Returning(lambda s: s)


SAME = {
    "log-probabilities": lambda s: s.log_softmax(1),
    "an object with .logits": lambda s: SimpleNamespace(loss=s.sum(), logits=s),
    "a dict with logits": lambda s: {"features": s.exp(), "logits": s},
    "a dict of one tensor": lambda s: {"out": s},
    "a tuple": lambda s: (s, s.exp()),
    "shifted logits": lambda s: s + 100,
}


@pytest.mark.parametrize("output", SAME.values(), ids=SAME.keys())
def test_the_same_classifier_in_other_forms_gives_the_same_matrix(output, logits_model, x):
    other = Returning(output)
    other.load_state_dict(logits_model.state_dict())
    expected, g = LocalDataMatrix.at(logits_model, x), LocalDataMatrix.at(other, x)
    assert torch.allclose(g.dense(), expected.dense(), rtol=1e-4, atol=1e-7)


def test_another_classifier_gives_another_matrix(logits_model, x):
    other = Returning(lambda s: 2 * s)
    other.load_state_dict(logits_model.state_dict())
    expected, g = LocalDataMatrix.at(logits_model, x), LocalDataMatrix.at(other, x)
    assert not torch.allclose(g.dense(), expected.dense(), rtol=1e-1, atol=1e-3)


@pytest.mark.parametrize("flat", [True, False], ids=["(B,)", "(B, 1)"])
def test_one_logit_is_a_binary_classifier(flat, x):
    """G = p (1 − p) ∇s ∇sᵀ with p = sigmoid(s)."""
    model = Returning((lambda s: s[:, 0]) if flat else (lambda s: s), classes=1).double()
    x = x.double()
    p, w = model.layer(x).detach().sigmoid(), model.layer.weight.detach()[0]
    expected = (p * (1 - p)).unsqueeze(2) * torch.outer(w, w)
    g = LocalDataMatrix.at(model, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-10, atol=1e-14)
    assert torch.allclose(g.log_probs.exp(), torch.cat([1 - p, p], 1))
    assert g.tangent_dimension().tolist() == [1] * 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_modules_are_measured_in_full_precision(dtype, logits_model, x):
    half = Returning(lambda s: s).to(dtype)
    half.load_state_dict(logits_model.state_dict())
    rounded = Returning(lambda s: s)
    rounded.load_state_dict({k: v.float() for k, v in half.state_dict().items()})
    g, expected = LocalDataMatrix.at(half, x), LocalDataMatrix.at(rounded, x)
    assert torch.equal(g.dense(), expected.dense())
    assert half.layer.weight.dtype is dtype


def test_half_precision_batch_norm_buffers_are_left_alone(x):
    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).bfloat16()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    LocalDataMatrix.at(model, x)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_models_compiled_as_a_whole_are_measured(logits_model, x):
    compiled = torch.compile(logits_model, backend="eager")
    g = LocalDataMatrix.at(compiled, x)
    assert torch.equal(g.dense(), LocalDataMatrix.at(logits_model, x).dense())


def test_functions_are_measured(logits_model, x):
    g = LocalDataMatrix.at(lambda x: logits_model(x), x)
    assert torch.equal(g.dense(), LocalDataMatrix.at(logits_model, x).dense())


def test_inputs_made_in_inference_mode_are_measured(logits_model, x):
    with torch.inference_mode():
        y = x + 0
        g = LocalDataMatrix.at(logits_model, y)
    assert torch.equal(g.dense(), LocalDataMatrix.at(logits_model, x).dense())


def mixing(s):
    return s - s.mean(0)


REFUSED = {
    "softmax": (Returning(lambda s: s.softmax(1)), "probabilities.*sum to one.*log_softmax"),
    "sigmoid": (Returning(lambda s: s.sigmoid(), classes=1), "probabilities.*sigmoid"),
    "flat sigmoid": (Returning(lambda s: s.sigmoid()[:, 0], classes=1), "probabilities.*sigmoid"),
    "mixing": (Returning(mixing), "mixes the inputs of a batch.*chunk_size=1"),
    "one class": (Returning(lambda s: s.log_softmax(1), classes=1), "single class"),
    "labels": (Returning(lambda s: s.argmax(1)), "floating-point scores|grad_fn"),
    "detached": (Returning(lambda s: s.detach()), "grad_fn"),
    "per token": (Returning(lambda s: s.unsqueeze(1)), r"shape \(2, C\); got shape \(2, 1, 5\)"),
    "nothing": (Returning(lambda s: None), "NoneType"),
    "strange dict": (Returning(lambda s: {"a": s, "b": s}), r"keys \['a', 'b'\]"),
    "not callable": ("resnet18", "torch.nn.Module or a function.*got str"),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_defines_no_prediction_is_refused_with_what_to_do(model, message, x):
    with pytest.raises(LeafError, match=message):
        LocalDataMatrix.at(model, x)
    with pytest.raises(LeafError, match=message):
        horizontal_path(model, x, -x, progress=False)


def test_batch_norm_without_running_statistics_mixes_inputs(x):
    model = nn.Sequential(nn.Linear(12, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(LeafError, match="mixes the inputs"):
        LocalDataMatrix.at(model, x)


def test_batch_norm_in_training_mode_is_measured_in_evaluation_mode(x):
    model = nn.Sequential(nn.Linear(12, 3), nn.BatchNorm1d(3)).train()
    expected = LocalDataMatrix.at(model.eval(), x).dense()
    assert torch.equal(LocalDataMatrix.at(model.train(), x).dense(), expected)


def test_logits_between_zero_and_one_are_not_taken_for_probabilities(x):
    """Negative control: small positive logits are legitimate."""
    model = Returning(lambda s: 0.5 + 0.01 * s.tanh())
    assert LocalDataMatrix.at(model, x).trace().gt(0).all()
    LocalDataMatrix.at(Returning(lambda s: 0.5 + 0.01 * s.tanh(), classes=1), x)


INPUTS = {
    "integers": (torch.ones(2, 12, dtype=torch.long), "floating-point inputs.*torch.int64"),
    "no batch": (torch.ones(12), r"unsqueeze\(0\)"),
    "empty": (torch.ones(0, 12), "B ≥ 1"),
    "a list": ([[0.0] * 12], "got list"),
    "NaN": (torch.full((3, 12), torch.nan), "finite values in x; 3 of 3"),
}


@pytest.mark.parametrize(("inputs", "message"), INPUTS.values(), ids=INPUTS.keys())
def test_unusable_inputs_are_refused_with_what_to_do(inputs, message, logits_model):
    with pytest.raises(LeafError, match=message):
        LocalDataMatrix.at(logits_model, inputs)


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5, True])
def test_unusable_chunk_sizes_are_refused(chunk_size, logits_model, x):
    with pytest.raises(LeafError, match="positive whole number"):
        LocalDataMatrix.at(logits_model, x, chunk_size=chunk_size)


def test_a_model_that_fails_leaves_its_own_error(x):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        LocalDataMatrix.at(nn.Linear(13, 3), x)
