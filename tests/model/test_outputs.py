"""The scores are found in the output of a model, or an error says how to name them."""

import re
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import LeafError, LocalDataMatrix
from lightning_leaf.model.classifier import measuring

Pair = namedtuple("Pair", ["features", "scores"])


@dataclass
class Output:
    loss: Tensor | None
    scores: Tensor


class Net(nn.Module):
    """Features of 8 numbers, and scores of 3 classes."""

    def __init__(self, output) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(12, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)
        self.output = output

    def forward(self, x):
        features = self.backbone(x)
        return self.output(features, self.head(features))


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(4, 12)


@pytest.fixture
def expected(x):
    return LocalDataMatrix.at(Net(lambda f, s: s), x).dense()


SHAPES = {
    "(B, 1, C)": lambda f, s: s.unsqueeze(1),
    "(B, C, 1, 1)": lambda f, s: s[:, :, None, None],
    "squeezed for one input": lambda f, s: s.squeeze(),
    "a tuple with a loss": lambda f, s: (s.sum(), s),
    "a tuple with labels": lambda f, s: (s.argmax(1), s),
    "a tuple with a map": lambda f, s: (f[:, None, :].expand(-1, 4, -1), s),
    "two heads": lambda f, s: (s, 2 * s),
    "a dict with a loss": lambda f, s: {"loss": s.sum(), "scores": s},
    "a dataclass": lambda f, s: Output(None, s),
    "an object with logits": lambda f, s: SimpleNamespace(hidden=f, logits=s),
}


@pytest.mark.parametrize("output", SHAPES.values(), ids=SHAPES.keys())
def test_scores_are_found(output, x, expected):
    for each in [x] if output is not SHAPES["squeezed for one input"] else [x[:1]]:
        g = LocalDataMatrix.at(Net(output), each).dense()
        assert torch.allclose(g, expected[: len(each)], rtol=1e-5, atol=1e-9)


def test_one_score_in_any_shape_is_a_binary_classifier(x):
    g = LocalDataMatrix.at(Net(lambda f, s: s[:, :1]), x).dense()
    for shape in ((-1,), (-1, 1, 1)):
        model = Net(lambda f, s, shape=shape: s[:, 0].reshape(shape))
        assert torch.allclose(LocalDataMatrix.at(model, x).dense(), g, rtol=1e-5, atol=1e-9)


SEVERAL = {
    "tuple": (lambda f, s: (f, s), "[1]"),
    "list": (lambda f, s: [f, s], "[1]"),
    "dict": (lambda f, s: {"features": f, "scores": s}, "['scores']"),
    "named tuple": (lambda f, s: Pair(f, s), "[1]"),
    "dataclass": (lambda f, s: Output(f, s), ".scores"),
}


@pytest.mark.parametrize(("output", "access"), SEVERAL.values(), ids=SEVERAL.keys())
def test_of_several_tensors_the_number_of_classes_chooses(output, access, x, expected):
    model = Net(output)
    with measuring(model, classes=3) as classifier:
        g = LocalDataMatrix.at(classifier, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-5, atol=1e-9)
    # Negative control: without the number nothing is chosen, and the advice works.
    with pytest.raises(LeafError, match=r"not clear: .*\(2, 8\).*\(2, 3\)") as caught:
        LocalDataMatrix.at(model, x)
    assert followed(model, str(caught.value), x).trace().tolist() == pytest.approx(
        expected.diagonal(dim1=1, dim2=2).sum(1).tolist(), rel=1e-5
    )
    assert access in str(caught.value)


def followed(model, message, x):
    """Return the matrices with the forward= that a message names."""
    written = re.search(r"forward=(lambda model, x: [^ ]+|'\w+')", message).group(1)
    return LocalDataMatrix.at(model, x, forward=eval(written.rstrip(".")))


class WithoutForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net(lambda f, s: s)


class WithMethod(Net):
    def compute_logits(self, x):
        return self.head(self.backbone(x))


ADVISED = {
    "no forward": (WithoutForward(), "WithoutForward has no forward method.*forward='net'"),
    "a map": (
        Net(lambda f, s: f[:, :, None].expand(-1, -1, 4)),
        r"got shape \(2, 8, 4\).*flatten\(2\)",
    ),
    "labels": (WithMethod(lambda f, s: s.argmax(1)), "got torch.int64.*forward='compute_logits'"),
    "nothing": (WithMethod(lambda f, s: None), "got NoneType.*forward='compute_logits'"),
}


@pytest.mark.parametrize(("model", "message"), ADVISED.values(), ids=ADVISED.keys())
def test_advice_is_short_and_works(model, message, x, expected):
    with pytest.raises(LeafError, match=message) as caught:
        LocalDataMatrix.at(model, x)
    with measuring(model) as classifier, pytest.raises(LeafError, match=message):
        classifier.scores(x[:2])
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    if "lambda" not in message and "flatten" not in message:
        g = followed(model, str(caught.value), x).dense()
        assert torch.allclose(g, expected, rtol=1e-5, atol=1e-9)


PROBABILITIES = {
    "softmax": (
        lambda f, s: s.softmax(1),
        r"sum to one.*log_softmax.*model\(x\)\.clamp_min\(1e-30\)\.log\(\)",
    ),
    "sigmoid": (lambda f, s: s[:, 0].sigmoid(), r"from a sigmoid.*model\(x\)\.logit\(1e-6\)"),
}


@pytest.mark.parametrize(("output", "message"), PROBABILITIES.values(), ids=PROBABILITIES.keys())
def test_the_advice_for_probabilities_works(output, message, x, expected):
    with pytest.raises(LeafError, match=message) as caught:
        LocalDataMatrix.at(Net(output), x)
    g = followed(Net(output), str(caught.value), x)
    if output is PROBABILITIES["sigmoid"][0]:
        expected = LocalDataMatrix.at(Net(lambda f, s: s[:, 0]), x).dense()
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("output", "message"), PROBABILITIES.values(), ids=PROBABILITIES.keys())
def test_the_advice_works_for_probabilities_of_exactly_zero_and_one(output, message, x):
    certain = Net(lambda f, s: output(f, 1e4 * s))
    with pytest.raises(LeafError, match=message) as caught:
        LocalDataMatrix.at(certain, x)
    assert bool(followed(certain, str(caught.value), x).dense().isfinite().all())
    # Negative control: the logarithm alone is infinite there.
    inverse = torch.log if output is PROBABILITIES["softmax"][0] else torch.logit
    assert not bool(inverse(certain(x)).isfinite().all())


def test_a_head_on_the_features_is_suggested(x, expected):
    model = Net(lambda f, s: f)
    with measuring(model) as classifier:
        advice = classifier.suggested_forward(classifier.prepare(x), 3)
        assert "forward=lambda model, x: model.head(model(x)) returns 3 scores" in advice
        assert classifier.suggested_forward(classifier.prepare(x), 4) == ""
    g = LocalDataMatrix.at(model, x, forward=lambda model, x: model.head(model(x)))
    assert torch.allclose(g.dense(), expected, rtol=1e-5, atol=1e-9)
