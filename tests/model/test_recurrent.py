"""Recurrent layers run without cuDNN, and everything else with it."""

import copy
import queue
from contextlib import nullcontext

import pytest
import torch
from torch import backends, nn
from torch.overrides import TorchFunctionMode

from lightning_leaf import LocalDataMatrix
from lightning_leaf.model import forward_pass, recurrent
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.recurrent import RECURRENT, RecurrentWithoutCuDNN
from tests.support.oracle import data_matrix

LAYERS = {
    "lstm": lambda: nn.LSTM(8, 5, batch_first=True, bidirectional=True),
    "gru": lambda: nn.GRU(8, 5, num_layers=2, batch_first=True),
    "rnn_tanh": lambda: nn.RNN(8, 5, batch_first=True),
    "rnn_relu": lambda: nn.RNN(8, 5, nonlinearity="relu", batch_first=True),
}


class Sequences(nn.Module):
    """Convolutions before and after a recurrent layer, which a function may call directly."""

    def __init__(self, name, direct=False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(2, 8, 3, padding=1)
        layer = LAYERS[name]()
        self.name, self.layer = name, [layer] if direct else layer
        self.head = nn.Conv1d(layer.hidden_size * (1 + layer.bidirectional), 3, 1)

    def forward(self, x):
        sequence = self.conv(x).transpose(1, 2)
        if isinstance(self.layer, list):
            layer, states = self.layer[0], sequence.new_zeros(1, len(x), 5)
            weights = [getattr(layer, name) for name in layer._flat_weights_names]
            weights = [each.to(sequence.dtype) for each in weights]
            call = getattr(torch, self.name)
            output, _ = call(sequence, states, weights, True, 1, 0.0, False, False, True)
        else:
            output, _ = self.layer(sequence)
        return self.head(output.transpose(1, 2)).mean(2)


class Spy(TorchFunctionMode):
    """See whether cuDNN is enabled in the operations, inside of all modes of a measurement."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[bool]] = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        self.seen.setdefault(name, set()).add(backends.cudnn.enabled)
        return func(*args, **(kwargs or {}))


def seen(model, x):
    with Spy() as spy:
        LocalDataMatrix.at(model, x)
    return {name: spy.seen[name] for name in (model.name, "conv1d")}


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(3, 2, 6)


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers_alone_run_without_cudnn(name, x, monkeypatch):
    model = Sequences(name)
    assert seen(model, x) == {name: {False}, "conv1d": {True}}
    assert backends.cudnn.enabled
    expected = data_matrix(copy.deepcopy(model).double(), x.double())
    g = LocalDataMatrix.at(model, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    # Negative control.
    monkeypatch.setattr(recurrent, "RECURRENT", set())
    assert seen(model, x) == {name: {True}, "conv1d": {True}}


def test_recurrent_functions_are_found_in_the_first_forward_pass(x):
    model = Sequences("rnn_tanh", direct=True)
    assert seen(model, x) == {"rnn_tanh": {False}, "conv1d": {True}}


class Seen(nn.Module):
    """A part in Python between parts in TorchScript."""

    def forward(self, x):
        seen_by_parts.put(backends.cudnn.enabled)
        return x


seen_by_parts: queue.SimpleQueue = queue.SimpleQueue()  # a list would be restored


class Last(nn.Module):
    """The last output of a layer for sequences."""

    def __init__(self, layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0][:, -1]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("layer", [nn.LSTM(6, 3, batch_first=True), nn.Linear(6, 3)])
@pytest.mark.parametrize("compiled", [torch.jit.script, torch.jit.trace])
def test_scripted_recurrent_layers_run_with_the_whole_model_without_cudnn(layer, compiled, x):
    part = Last(layer) if isinstance(layer, nn.LSTM) else nn.Sequential(layer, nn.Flatten())
    part = compiled(part) if compiled is torch.jit.script else compiled(part, x)
    LocalDataMatrix.at(nn.Sequential(part, Seen()), x)
    enabled = {seen_by_parts.get() for _ in range(seen_by_parts.qsize())}
    assert enabled == {not isinstance(layer, nn.LSTM)}


def test_a_setting_of_the_user_stays(x):
    backends.cudnn.enabled = False
    try:
        assert seen(Sequences("lstm"), x) == {"lstm": {False}, "conv1d": {False}}
        assert not backends.cudnn.enabled
    finally:
        backends.cudnn.enabled = True


def test_the_setting_is_restored_after_an_error():
    with pytest.raises(RuntimeError), RecurrentWithoutCuDNN():
        nn.LSTM(3, 3)(torch.rand(2, 4))
    assert backends.cudnn.enabled


def test_models_without_recurrent_layers_run_in_no_mode(x, monkeypatch):
    monkeypatch.setattr(forward_pass, "RecurrentWithoutCuDNN", nullcontext)
    for model, is_recurrent in (
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), False),
        (Sequences("lstm"), True),
        (Sequences("rnn_tanh", direct=True), True),
    ):
        with measuring(model) as classifier:
            classifier.require_usable(classifier.prepare(x))
            assert classifier._run.recurrent is is_recurrent


def test_all_functions_for_sequences_are_known():
    assert all(callable(getattr(torch._VF, name)) for name in RECURRENT)
