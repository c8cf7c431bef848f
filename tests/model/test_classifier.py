"""Any classifier can be measured. Models and inputs that cannot raise an error with a remedy."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, horizontal_path
from lightning_leaf.model.classifier import measuring


class Returning(nn.Module):
    """A linear classifier with a function of its scores as output."""

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
def test_the_form_of_the_output_does_not_change_the_matrix(output, logits_model, x):
    other = Returning(output)
    other.load_state_dict(logits_model.state_dict())
    expected, g = LocalDataMatrix.at(logits_model, x), LocalDataMatrix.at(other, x)
    assert torch.allclose(g.dense(), expected.dense(), rtol=1e-4, atol=1e-7)


def test_another_classifier_gives_another_matrix(logits_model, x):
    """Negative control."""
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


def test_half_precision_buffers_are_not_changed(x):
    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).bfloat16()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    LocalDataMatrix.at(model, x)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_compiled_models_are_measured(logits_model, x):
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


UNUSABLE = {
    "softmax": (Returning(lambda s: s.softmax(1)), "probabilities.*sum to one.*log_softmax"),
    "sigmoid": (Returning(lambda s: s.sigmoid(), classes=1), "probabilities.*sigmoid"),
    "flat sigmoid": (Returning(lambda s: s.sigmoid()[:, 0], classes=1), "probabilities.*sigmoid"),
    "mixing": (Returning(mixing), "mixes the inputs of a batch.*chunk_size=1"),
    "one class": (Returning(lambda s: s.log_softmax(1), classes=1), "single class"),
    "labels": (Returning(lambda s: s.argmax(1)), "floating-point scores|grad_fn"),
    "detached": (Returning(lambda s: s.detach()), "grad_fn"),
    "per token": (
        Returning(lambda s: s.unsqueeze(1).expand(-1, 2, -1)),
        r"shape \(2, C\); got shape \(2, 2, 5\).*forward=",
    ),
    "nothing": (Returning(lambda s: None), "NoneType"),
    "strange dict": (
        Returning(lambda s: {"a": s, "b": s}),
        "not clear: dict of 'a': .*forward=.*'b'",
    ),
    "not callable": ("resnet18", "torch.nn.Module or a function.*got str"),
}


@pytest.mark.parametrize(("model", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_models_that_define_no_prediction_raise_an_error_with_a_remedy(model, message, x):
    with pytest.raises(LeafError, match=message):
        LocalDataMatrix.at(model, x)
    with pytest.raises(LeafError, match=message):
        horizontal_path(model, x, -x, progress=False)


def test_batch_norm_without_running_statistics_mixes_inputs(x):
    model = nn.Sequential(nn.Linear(12, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(LeafError, match="mixes the inputs"):
        LocalDataMatrix.at(model, x)


@pytest.mark.parametrize("batch_first", [False, True], ids=["mixing", "correct"])
def test_a_recurrent_network_that_takes_the_batch_for_time_mixes_inputs(batch_first):
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=batch_first)

        def forward(self, x):
            return self.lstm(x)[0][:, -1]

    x = torch.rand(2, 3, 4)
    if batch_first:
        assert LocalDataMatrix.at(Recurrent(), x).trace().gt(0).all()
        return
    with pytest.raises(LeafError, match=r"mixes the inputs.*batch_first=True"):
        LocalDataMatrix.at(Recurrent(), x)


def test_batch_norm_in_training_mode_is_measured_in_evaluation_mode(x):
    model = nn.Sequential(nn.Linear(12, 3), nn.BatchNorm1d(3)).train()
    expected = LocalDataMatrix.at(model.eval(), x).dense()
    assert torch.equal(LocalDataMatrix.at(model.train(), x).dense(), expected)


def test_logits_between_zero_and_one_are_not_mistaken_for_probabilities(x):
    """Negative control: small positive logits are valid."""
    model = Returning(lambda s: 0.5 + 0.01 * s.tanh())
    assert LocalDataMatrix.at(model, x).trace().gt(0).all()
    LocalDataMatrix.at(Returning(lambda s: 0.5 + 0.01 * s.tanh(), classes=1), x)


UNUSABLE_INPUTS = {
    "integers": (torch.ones(2, 12, dtype=torch.long), "floating-point inputs.*torch.int64"),
    "no batch": (torch.ones(12), r"unsqueeze\(0\)"),
    "empty": (torch.ones(0, 12), "B ≥ 1"),
    "a list": ([[0.0] * 12], "got list"),
    "NaN": (torch.full((3, 12), torch.nan), "finite values in x; 3 of 3"),
}


@pytest.mark.parametrize(
    ("inputs", "message"), UNUSABLE_INPUTS.values(), ids=UNUSABLE_INPUTS.keys()
)
def test_unusable_inputs_raise_an_error_with_a_remedy(inputs, message, logits_model):
    with pytest.raises(LeafError, match=message):
        LocalDataMatrix.at(logits_model, inputs)


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5, True])
def test_unusable_chunk_sizes_raise_an_error(chunk_size, logits_model, x):
    with pytest.raises(LeafError, match="chunk_size expects a whole number of at least 1"):
        LocalDataMatrix.at(logits_model, x, chunk_size=chunk_size)


def test_errors_of_the_model_are_not_replaced(x):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        LocalDataMatrix.at(nn.Linear(13, 3), x)


class Recorded(nn.Module):
    """A linear classifier, followed by a function, that records its batch sizes."""

    def __init__(self, function) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3)
        self.function = function
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.function(self.layer(x))


def test_a_model_is_checked_once_for_each_shape_of_inputs(x):
    model = nn.Sequential(nn.Flatten(), Recorded(lambda s: s))
    with measuring(model) as classifier:
        for _ in range(3):
            assert classifier.require_usable(x) == 3
        assert model[1].batches == [2]
        classifier.require_usable(x.reshape(4, 3, 4))
        assert model[1].batches == [2, 2]


def test_a_check_of_a_single_input_does_not_stand_for_one_of_two(x):
    model = Recorded(mixing)
    with measuring(model) as classifier:
        classifier.require_usable(x[:1])
        passes = len(model.batches)
        classifier.require_usable(x[1:2])
        assert len(model.batches) == passes
        with pytest.raises(LeafError, match="mixes the inputs"):
            classifier.require_usable(x)


@pytest.mark.parametrize(
    ("function", "passes"),
    [(lambda s: 0 * s, 2), (lambda s: s.abs().sqrt() * torch.inf, 1)],
    ids=["zero", "NaN"],
)
def test_a_check_whose_derivatives_show_nothing_is_repeated(function, passes, x):
    """A zero derivative takes one more pass, at a point nearby."""
    model = Recorded(function)
    with measuring(model) as classifier:
        for _ in range(2):
            classifier.require_usable(x)
        assert model.batches == [2] * 2 * passes


def test_chunks_larger_than_the_first_are_checked(x):
    """A first chunk of one input shows no mixing."""
    with measuring(Recorded(mixing)) as classifier:
        LocalDataMatrix.at(classifier, x[:1])
        with pytest.raises(LeafError, match="mixes the inputs"):
            LocalDataMatrix.at(classifier, x)


def test_a_closed_classifier_is_opened_again_from_its_model(logits_model, x):
    with measuring(logits_model.bfloat16()) as classifier:
        expected = classifier(classifier.prepare(x))
        with measuring(classifier) as same:
            assert same is classifier
    assert not classifier.is_open
    with measuring(classifier) as other:
        assert other is not classifier
        assert torch.equal(other(other.prepare(x)), expected)


def test_functions_compute_in_the_type_of_each_input():
    with measuring(lambda x: x.softmax(1).log()) as classifier:
        for dtype in (torch.float64, torch.float32):
            assert classifier.prepare(torch.randn(2, 3, dtype=dtype)).dtype is dtype


def test_prepared_inputs_are_copies(logits_model, x):
    with measuring(logits_model) as classifier:
        prepared = classifier.prepare(x)
    prepared += 1
    assert not torch.equal(prepared, x)
