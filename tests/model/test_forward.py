"""Models are called as ``forward=`` says, and scores mean what ``likelihood=`` says."""

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, MatrixFreeDataMatrix, horizontal_path
from lightning_leaf.model.classifier import Classifier, measuring
from tests.support.oracle import data_matrix


class Model(nn.Module):
    """Its forward takes a whole batch; its parts take inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))
        self.parts = nn.ModuleList([self.net])
        self.named = nn.ModuleDict({"net": self.net})
        self.size = 3

    def forward(self, batch, *, scale):
        return scale * self.net(batch["image"])

    def predict_logits(self, x):
        return self(batch={"image": x}, scale=1)


def called_by_name(model, x):
    """Imported by ``forward="tests.model.test_forward.called_by_name"``."""
    return model.predict_logits(x)


class WithoutCall:
    def __init__(self) -> None:
        self.model = Model()

    def scores(self, x):
        return self.model.net(x)


WAYS = {
    "method": "predict_logits",
    "sub-module": "net",
    "item of a list": "parts.0",
    "item of a dict": "named.net",
    "method of a sub-module": "net.forward",
    "function": lambda model, x: model({"image": x}, scale=1),
    "imported function": f"{__name__}.called_by_name",
}


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(4, 12)


def close(g, expected) -> bool:
    return torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("forward", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_models_are_called_as_the_argument_says(forward, dtype, x):
    model = Model().to(dtype)
    expected = data_matrix(Model().to(dtype).double().net, x)
    assert close(LocalDataMatrix.at(model, x, forward=forward), expected)
    assert MatrixFreeDataMatrix.at(model, x, forward=forward).trace_estimate().value.gt(0).all()
    path = horizontal_path(model, x[:1], x[1:2], forward=forward, max_steps=1, progress=False)
    assert path.steps.tolist() == [1]


def test_another_function_gives_another_matrix(x):
    """Negative control."""
    expected = data_matrix(Model().double().net, x)
    g = LocalDataMatrix.at(Model(), x, forward=lambda m, x: m({"image": x}, scale=2))
    assert not close(g, expected)


def test_objects_that_cannot_be_called_are_measured_through_a_method(x):
    expected = data_matrix(Model().double().net, x)
    assert close(LocalDataMatrix.at(WithoutCall(), x, forward="scores"), expected)


WRONG = {
    "unknown": (
        "netz",
        r"forward=\"netz\" is neither .* of Model .* 'net', 'parts'",
    ),
    "unknown module": ("nowhere.to.be_found", "neither"),
    "no function in it": ("math.pi", "neither"),
    "a number": ("size", "method or sub-module of Model; it is of type int"),
    "not a name": (3, r"function \(model, inputs\) -> scores; got int"),
}


@pytest.mark.parametrize(("forward", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_called_is_refused(forward, message, x):
    with pytest.raises(LeafError, match=message):
        LocalDataMatrix.at(Model(), x, forward=forward)


def test_errors_in_an_imported_module_are_not_hidden(x, tmp_path, monkeypatch):
    (tmp_path / "leaf_test_broken.py").write_text("import leaf_test_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="leaf_test_missing"):
        LocalDataMatrix.at(Model(), x, forward="leaf_test_broken.function")


def test_an_open_classifier_keeps_its_arguments(x):
    with measuring(Model(), forward="net", likelihood="bernoulli") as classifier:
        with measuring(classifier) as same:
            assert same is classifier
        given = {"forward": "net"}, {"likelihood": "categorical"}, {"classes": 3}
        for arguments in given:
            with (
                pytest.raises(LeafError, match="Pass them to measuring"),
                measuring(classifier, **arguments),
            ):
                pass
    with measuring(classifier) as again:
        assert again.forward == "net"
        assert again.likelihood == "bernoulli"


def test_log_probabilities_follow_the_likelihood(x):
    s = torch.tensor([[0.0, 100.0, -100.0]])
    labels, classes = Classifier(Model(), likelihood="bernoulli"), Classifier(Model())
    expected = torch.tensor([[0.5, 1, 3.720075976020836e-44]], dtype=torch.float64).log()
    assert torch.allclose(labels.log_probs(s), expected, rtol=1e-12, atol=1e-12)
    assert classes.likelihood == "categorical"
    assert torch.allclose(classes.log_probs(s), s.double().log_softmax(1), rtol=1e-12)
    with pytest.raises(LeafError, match="likelihood expects one of 'categorical', 'bernoulli'"):
        Classifier(Model(), likelihood="binary")


@pytest.mark.parametrize(("likelihood", "columns"), [("categorical", 2), ("bernoulli", 1)])
def test_one_score_is_two_classes_or_one_label(likelihood, columns, x):
    model = nn.Linear(12, 1)
    with measuring(model, likelihood=likelihood) as classifier:
        assert classifier.require_usable(x) == columns
        scores = classifier(x)
    assert scores.shape == (4, columns)
    p = classifier.log_probs(scores).exp()[:, -1]
    assert torch.allclose(p, model(x)[:, 0].double().sigmoid(), rtol=1e-6)
