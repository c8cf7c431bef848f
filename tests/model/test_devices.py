"""Models on other devices than their inputs, on several, and on devices without float64."""

import copy

import pytest
import torch
from torch import nn

from lightning_leaf import LocalDataMatrix, local_geometry
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.unbuilt import ModelIsUnbuilt, refusing_initialization
from lightning_leaf.trainer import averaging
from tests.gpu.simulated_device import DEVICE, Simulation
from tests.support.oracle import data_matrix

CPU = torch.device("cpu")


class Refusing(Simulation):
    """A device that refuses operations on tensors of several devices, as GPUs do."""

    def mixes(self, what):
        super().mixes(what)
        raise RuntimeError(f"Expected all tensors to be on the same device: {what}")


class Parallel(nn.Module):
    """A model on two devices, whose forward pass begins at the second."""

    def __init__(self, last=DEVICE) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.backbone = nn.Linear(8, 3), nn.Linear(12, 8)
        self.last = last

    def forward(self, x):
        features = self.backbone(x).tanh()
        return self.head(features.to(self.head.weight.device)).to(self.last)


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(4, 12)


def expected_matrices(model, x):
    same = copy.deepcopy(model).double()
    same.last = CPU
    return data_matrix(same, x.double())


@pytest.mark.parametrize("last", [DEVICE, CPU])
def test_a_model_on_several_devices_is_measured(x, last):
    model = Parallel(last)
    expected = expected_matrices(model, x)
    with Refusing() as simulation:
        model.head.to(DEVICE)
        g = LocalDataMatrix.at(model, x)
        assert g.log_probs.device == DEVICE
        assert torch.allclose(g.dense().cpu(), expected, rtol=1e-4, atol=1e-6)
        assert local_geometry(model, x).finite.all()
        with simulation.counting() as counts, measuring(model) as classifier:
            assert classifier._run.device == DEVICE
            inputs = classifier.prepare(x)
            classifier.require_usable(inputs)
            assert classifier._run.device == CPU
            assert counts.mixes  # negative control: the first device was wrong
            before = sum(counts.mixes.values())
            scores = classifier.scores(inputs)
            assert sum(counts.mixes.values()) == before
            assert scores.device == inputs.device == DEVICE


def test_errors_of_the_model_come_before_those_about_devices(x):
    with Refusing():
        model = Parallel()
        model.head.to(DEVICE)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            LocalDataMatrix.at(model, torch.rand(4, 13))


def test_everything_is_computed_on_the_host_if_a_device_has_no_float64(x):
    model = Parallel()
    expected = expected_matrices(model, x)
    with Refusing(float64=False):
        model.to(DEVICE)
        with measuring(model) as classifier:
            assert classifier.device == CPU
            scores = classifier.scores(classifier.prepare(x))
            assert scores.device == CPU
        g = LocalDataMatrix.at(model, x)
        assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6)
        # Negative control: inputs on the device give scores that cannot be converted.
        with measuring(model) as classifier, pytest.raises(TypeError, match="no float64"):
            classifier.scores(x.to(DEVICE)).double()


def test_a_closed_classifier_follows_its_model_to_another_device(x):
    model = Parallel(CPU)
    with Refusing():
        with measuring(model) as classifier:
            classifier.require_usable(classifier.prepare(x))
        model.to(DEVICE)
        model.last = DEVICE
        with measuring(classifier) as moved:
            assert moved.scores(moved.prepare(x)).device == DEVICE


def test_scores_of_a_function_come_back_to_its_inputs(x):
    model = Parallel()
    with Refusing():
        model.to(DEVICE)
        with measuring(lambda inputs: model(inputs.to(DEVICE))) as classifier:
            inputs = classifier.prepare(x)
            assert classifier.scores(inputs).device == inputs.device == CPU


def test_weights_on_a_device_without_float64_are_added_up_in_float64():
    weights = torch.full((3,), 1 + 2**-20)
    with Refusing(float64=False):
        assert averaging._sum(weights.to(DEVICE)).item() == 3 + 3 * 2**-20
        with pytest.raises(TypeError, match="no float64"):  # negative control
            weights.to(DEVICE).sum(dtype=torch.float64)


def convolutional():
    torch.manual_seed(0)
    layers = nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, 3))


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.lstm(x.transpose(1, 2))[0][:, -1])


class Reading(nn.Sequential):
    """A model that itself reads a number."""

    def forward(self, x):
        assert x.isfinite().all()
        return super().forward(x)


MODELS = {
    "float32": (convolutional, 0),
    "float64": (lambda: convolutional().double(), 0),
    "half": (lambda: convolutional().bfloat16(), 0),
    "recurrent": (Sequences, 0),
    "negative control": (lambda: Reading(*convolutional()), 1),
}


@pytest.mark.parametrize(("make", "waits"), MODELS.values(), ids=MODELS.keys())
def test_the_host_does_not_wait_in_forward_passes(make, waits):
    model = make()
    with Simulation() as simulation:
        model.to(DEVICE)
        with measuring(model) as classifier:
            inputs = classifier.prepare(torch.rand(4, 2, 6))
            with simulation.counting() as counts:
                classifier.require_usable(inputs)
            assert sum(counts.waits.values()) == 2 + waits
            with simulation.counting() as counts:
                classifier.log_probs(classifier.scores(inputs))
            assert sum(counts.waits.values()) == waits
            assert not counts.mixes


def test_flags_of_initialization_are_read_together():
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)))
    for layer in model:
        layer.register_buffer("initialized", torch.tensor(True))
    with Simulation() as simulation:
        model.to(DEVICE)
        with simulation.counting() as counts, refusing_initialization(model):
            pass
        assert sum(counts.waits.values()) == 2  # before and after
        with pytest.raises(ModelIsUnbuilt, match="changed from True to False"):  # noqa: SIM117
            with refusing_initialization(model):
                model[2].initialized.fill_(False)
