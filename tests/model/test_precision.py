"""Models that are not of one precision are measured in full precision, as accurately as others."""

import copy
import logging

import pytest
import torch
from torch import nn

from lightning_leaf import (
    LocalDataMatrix,
    MatrixFreeDataMatrix,
    horizontal_path,
    local_geometry,
    orthogonal_walk,
)
from lightning_leaf.model.classifier import Classifier, measuring
from lightning_leaf.model.model_tensors import ModelTensors
from lightning_leaf.model.precision import Precision
from tests.support.oracle import data_matrix

HALF = torch.bfloat16


class Net(nn.Module):
    """Two layers; ``first`` and ``second`` are applied to what they get."""

    dtype = HALF  # as under bf16-true: the type of a LightningModule's weights

    def __init__(self, first=lambda m, x: x, second=lambda m, x: x, last=lambda m, x: x) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.head = nn.Linear(12, 8), nn.Linear(8, 3)
        self.register_buffer("prior", torch.tensor([0.5, 0.3, 0.2]))
        self.register_buffer("mean", torch.full((12,), 0.5))
        self.table = torch.linspace(0, 1, 8)
        self.hooks = first, second, last

    def forward(self, x):
        first, second, last = self.hooks
        features = self.backbone(first(self, x)).tanh()
        return last(self, self.head(second(self, features)))


def backbone(model, dtype):
    model.backbone.to(dtype)
    return model


def buffers(model, dtype):
    model.prior, model.mean = model.prior.to(dtype), model.mean.to(dtype)
    return model


def table(model, dtype):
    model.table = model.table.to(dtype)
    return model


def as_float(m, x):
    return x.float()


def prior(m, x):
    return x + m.prior.log()


def standardized(m, x):
    return (x - m.mean).float()


def scaled(m, x):
    return x * m.table


def under_autocast(m, x):
    with torch.autocast("cpu", HALF):
        return nn.functional.linear(x, torch.eye(8)).float()


def as_under_autocast(m, x):
    """Runs under autocast only, as with precision="bf16-mixed"."""
    return x.bfloat16()


# name: (first, second, last; what is done to the model; the same function in float64)
CASES = {
    "float64 prior": ((None, None, prior), lambda m: buffers(m, torch.double)),
    "float64 mean": ((standardized, None, None), lambda m: buffers(m, torch.double)),
    "float64 counter": ((None, None, None), lambda m: buffers(m, torch.double)),
    "to(bfloat16)": ((lambda m, x: x.to(HALF), as_float, None), lambda m: backbone(m, HALF)),
    "half()": ((lambda m, x: x.half(), as_float, None), lambda m: backbone(m, torch.half)),
    "bfloat16()": ((lambda m, x: x.bfloat16(), as_float, None), lambda m: backbone(m, HALF)),
    "type": ((lambda m, x: x.type(torch.half), as_float, None), lambda m: backbone(m, torch.half)),
    "type of a tensor": (
        (lambda m, x: x.type("torch.HalfTensor"), as_float, None),
        lambda m: backbone(m, torch.half),
    ),
    "tensors of a type": (
        (lambda m, x: x.bfloat16() + torch.zeros(12, dtype=HALF), as_float, None),
        lambda m: backbone(m, HALF),
    ),
    "type of the weights": (
        (lambda m, x: x.to(m.backbone.weight.dtype), as_float, None),
        lambda m: backbone(m, HALF),
    ),
    "like the weights": (
        (lambda m, x: x.type_as(m.backbone.weight), as_float, None),
        lambda m: backbone(m, HALF),
    ),
    "self.dtype": ((lambda m, x: x.to(m.dtype), None, None), lambda m: m.to(HALF)),
    "a tensor without name": ((None, scaled, None), lambda m: table(m.to(HALF), HALF)),
    "the trainer's autocast": ((None, as_under_autocast, None), lambda m: m),
    "own autocast": ((None, under_autocast, None), lambda m: m),
    "a cast in between": ((None, lambda m, x: x.bfloat16().float(), None), lambda m: m),
    "half scores": ((None, None, lambda m, x: x.half()), lambda m: m),
    "float64 at first": ((None, as_float, None), lambda m: backbone(m, torch.double)),
    "float64 at last": (
        (None, lambda m, x: x.double(), None),
        lambda m: (m.head.double(), m)[1],
    ),
    "float64 at first, cast by itself": (
        (lambda m, x: x.double(), as_float, None),
        lambda m: backbone(m, torch.double),
    ),
    "float64 weights, float32 buffers": ((None, None, prior), lambda m: buffers(m.double(), HALF)),
}


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(4, 12)


def made(case) -> tuple[nn.Module, nn.Module]:
    """Return the model, and a model with the same weights that is float64 throughout."""
    hooks, change = case
    model = change(Net(*(hook or (lambda m, x: x) for hook in hooks))).eval()
    same = copy.deepcopy(model).double()
    same.table = same.table.double()
    effects = {prior: prior, standardized: lambda m, x: x - m.mean, scaled: scaled}
    same.hooks = tuple(effects.get(hook, lambda m, x: x) for hook in model.hooks)
    return model, same


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_matrices_have_full_precision(case, x):
    model, same = made(case)
    before = {name: (value.dtype, value.clone()) for name, value in model.state_dict().items()}
    expected = data_matrix(same, x)
    g = LocalDataMatrix.at(model, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * expected.abs().max())
    assert MatrixFreeDataMatrix.at(model, x).trace_estimate().value.isfinite().all()
    assert horizontal_path(model, x[:1], x[1:2], max_steps=2, progress=False).steps.tolist() == [2]
    for name, value in model.state_dict().items():
        assert value.dtype is before[name][0]
        assert torch.equal(value, before[name][1])


class Shared(nn.Module):
    """One layer under two names, one weight in two layers, and no list of parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(12, 12), nn.Linear(12, 12)
        self.again = self.first
        self.last.weight = self.first.weight

    def parameters(self, recurse=True):
        return iter([self.last.bias])

    def forward(self, x):
        return self.last(self.again(self.first(x).tanh()).tanh())[:, :3]


def test_shared_layers_and_weights_are_replaced_and_restored(x):
    model = Shared()
    model.to(HALF)
    expected = data_matrix(copy.deepcopy(model).double(), x)
    weight = model.first.weight
    with measuring(model) as classifier:
        g = LocalDataMatrix.at(classifier, x)
        assert model.first.weight is model.last.weight is weight
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * expected.abs().max())


COARSE = ["to(bfloat16)", "self.dtype", "own autocast", "a cast in between"]


def test_scores_alone_have_full_precision(x):
    """They may be computed before anything was differentiated."""
    for name in ("float64 at first", "to(bfloat16)", "the trainer's autocast"):
        model, same = made(CASES[name])
        with measuring(model) as classifier:
            scores = classifier.scores(classifier.prepare(x))
        assert scores.dtype is classifier.dtype
        assert torch.allclose(scores.double(), same(x.double()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", COARSE)
def test_half_precision_would_be_coarse(name, x):
    """Negative control: without the precautions the error is a thousand times larger."""
    model, same = made(CASES[name])
    expected = data_matrix(same, x)
    with measuring(model) as classifier:
        dtype = HALF if name == "self.dtype" else torch.float32
        classifier._precisions = [Precision(dtype, coarse=True)]
        g = LocalDataMatrix.at(classifier, x)
    assert not torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("compiled", ["scripted", "traced", "scripted part", "function", "LSTM"])
def test_other_kinds_of_modules_in_half_precision_are_measured(compiled, x):
    torch.manual_seed(0)
    half = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).to(HALF).eval()
    if compiled == "LSTM":
        half = Recurrent().to(HALF).eval()
    same = copy.deepcopy(half).double()
    if compiled == "scripted":
        model = torch.jit.script(half)
    elif compiled == "traced":
        model = torch.jit.trace(half, x.to(HALF))
    elif compiled == "scripted part":
        model = nn.Sequential(torch.jit.script(half[:2]), half[2])
    elif compiled == "function":
        model = lambda x: half(x)  # noqa: E731
    else:
        model = half
    expected = data_matrix(same, x)
    g = LocalDataMatrix.at(model, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * expected.abs().max())


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x):
        return self.lstm(x.reshape(-1, 3, 4))[0][:, -1]


class CastsInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3).to(torch.bfloat16)

    def forward(self, x):
        return self.layer(x.to(torch.bfloat16)).float()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_models_that_run_in_half_precision_only_are_measured_with_a_warning(x, caplog):
    """A scripted module casts where nothing can intercept it."""
    torch.manual_seed(0)
    model = CastsInside()
    expected = data_matrix(copy.deepcopy(model.layer).double(), x)
    scripted = torch.jit.script(model)
    with caplog.at_level(logging.WARNING, "lightning_leaf"):
        g = LocalDataMatrix.at(scripted, x)
        LocalDataMatrix.at(scripted, x)
    assert torch.allclose(g.dense(), expected, rtol=0.05, atol=1e-2 * expected.abs().max())
    assert len(caplog.records) == 1
    assert "measured in its own half precision" in caplog.text
    assert "\n" not in caplog.records[0].getMessage()


def test_the_first_error_is_raised(x):
    """Other precisions are tried, but what they say does not help."""
    for model in (nn.Linear(13, 3).half(), lambda x: nn.Linear(13, 3)(x)):
        with pytest.raises(RuntimeError, match=r"^mat1 and mat2 shapes .* \(2x12"):
            LocalDataMatrix.at(model, x)


MEASUREMENTS = {
    "matrices": lambda model, x: LocalDataMatrix.at(model, x),
    "geometry": lambda model, x: local_geometry(model, x, chunk_size=2),
    "products": lambda model, x: local_geometry(model, x, exact=False, chunk_size=2),
    "path": lambda model, x: horizontal_path(model, x[:1], x[1:2], max_steps=3, progress=False),
    "walk": lambda model, x: orthogonal_walk(model, x[:1], max_steps=3, progress=False),
}


@pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS.keys())
def test_half_precision_weights_are_copied_once_for_a_measurement(measure, x, monkeypatch):
    made = []
    real = ModelTensors.full_copies

    def counting(tensors):
        before = tensors._full_copies
        copies = real(tensors)
        made.extend(copies if copies is not before else [])
        return copies

    monkeypatch.setattr(ModelTensors, "full_copies", counting)
    model = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).to(HALF)
    measure(model, x)
    assert sorted(made) == ["0.bias", "0.weight", "2.bias", "2.weight"]


TYPES = {
    "float32": (nn.Linear(3, 3), torch.float32),
    "float64": (nn.Linear(3, 3).double(), torch.float64),
    "half": (nn.Linear(3, 3).half(), torch.float32),
    "one double": (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1).double()), torch.float32),
    "buffers only": (buffers(Net(), torch.double).requires_grad_(False), torch.float32),
    "no parameters": (nn.Flatten(), torch.float32),
}


@pytest.mark.parametrize(("model", "dtype"), TYPES.values(), ids=TYPES.keys())
def test_most_parameters_decide_the_type_of_inputs(model, dtype):
    assert Classifier(model).dtype is dtype


def test_ordinary_models_run_in_no_mode(x):
    """Negative control: full precision costs time in each operation."""
    with measuring(Net()) as classifier:
        classifier.require_usable(x)
        assert classifier._run.precision == Precision(torch.float32)
