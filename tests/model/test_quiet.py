"""quiet(model) restores the state of a training."""

import random
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lightning_leaf.model import quiet as quiet_module
from lightning_leaf.model.quiet import quiet


class Counting(nn.Module):
    """A module that counts its forward passes in a buffer and logs each, also in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.logger = SimpleNamespace(logged=[])

    def log(self, name, value):
        self.logger.logged.append(name)

    def log_dict(self, values):
        for name, value in values.items():
            self.log(name, value)

    def forward(self, x):
        self.passes += 1
        self.log("passes", self.passes)
        self.log_dict({"more": 0})
        return x


def model_with_frozen_norm() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3), Counting())
    model.train()
    model[2].eval()
    return model


def streams():
    return (
        torch.rand(3).tolist(),
        np.random.rand(3).tolist(),  # noqa: NPY002
        [random.random() for _ in range(3)],
    )


def change_state(model) -> None:
    torch.rand(5)
    np.random.rand(5)  # noqa: NPY002
    random.random()
    model(torch.rand(2, 3))


def state(model):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    with quiet(model):
        change_state(model)
    buffers = {name: buffer.tolist() for name, buffer in model.named_buffers()}
    return {
        "modes": [m.training for m in model.modules()],
        "buffers": buffers,
        "logged": list(model[3].logger.logged),
        "streams": streams(),
        "can log": model[3].log.__func__ is Counting.log,
    }


def expected_state():
    model = model_with_frozen_norm()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    return {
        "modes": [m.training for m in model.modules()],
        "buffers": {name: buffer.tolist() for name, buffer in model.named_buffers()},
        "logged": [],
        "streams": streams(),
        "can log": True,
    }


def test_the_state_is_the_same_afterwards():
    assert state(model_with_frozen_norm()) == expected_state()


@pytest.mark.parametrize(
    ("precaution", "changed"),
    [
        ("random_streams", {"streams"}),
        ("evaluation_mode", set()),  # buffers are restored too; another test checks the modes
        ("unchanged_buffers", {"buffers"}),
        ("silent_log", {"logged"}),
    ],
)
def test_each_precaution_is_needed(precaution, changed, monkeypatch):
    """Negative control: without it, that part of the state changes."""
    monkeypatch.setattr(quiet_module, precaution, lambda *_: nullcontext())
    actual, expected = state(model_with_frozen_norm()), expected_state()
    differing = {key for key in expected if actual[key] != expected[key]}
    assert differing == changed


class SelfModifying(nn.Linear):
    """A layer that changes its weights, in place and by replacement, and stores its inputs."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.calls = 0
        self.all_inputs, self.counts, self.sizes = [0], {"calls": 0}, {0}
        self.register_buffer("scale", None)

    def forward(self, x):
        self.calls += 1
        self.scale, self.last_input = x.std(), x
        self.all_inputs.append(x)
        self.counts["calls"] += 1
        self.counts["classes"] = 3
        self.sizes.add(len(x))
        self.weight.data = self.weight.data / 2
        with torch.no_grad():
            self.bias.clamp_(max=0.0)
        return super().forward(x)


@pytest.mark.parametrize(
    ("missing", "changed"),
    [
        (None, set()),
        ("unchanged_parameters", {"weight", "bias"}),
        ("unchanged_attributes", {"calls", "scale", "last_input", "all_inputs", "counts", "sizes"}),
    ],
)
def test_changes_that_a_forward_pass_makes_to_its_module_are_undone(missing, changed, monkeypatch):
    if missing:
        monkeypatch.setattr(quiet_module, missing, lambda *_: nullcontext())
    model = SelfModifying()
    nn.init.ones_(model.bias)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    memory = model.weight.data_ptr()
    with quiet(model):
        model(torch.rand(2, 3))
    differing = {
        name for name, value in before.items() if not torch.equal(value, getattr(model, name))
    }
    differing |= {"calls"} if model.calls else set()
    differing |= {"scale"} if model.scale is not None else set()
    differing |= {"last_input"} if hasattr(model, "last_input") else set()
    differing |= {"all_inputs"} if model.all_inputs != [0] else set()
    differing |= {"counts"} if model.counts != {"calls": 0} else set()
    differing |= {"sizes"} if model.sizes != {0} else set()
    assert differing == changed
    assert missing or model.weight.data_ptr() == memory


def test_the_mode_of_every_sub_module_is_restored():
    model = model_with_frozen_norm()
    modes = [m.training for m in model.modules()]
    with quiet(model):
        assert not any(m.training for m in model.modules())
    assert [m.training for m in model.modules()] == modes
    # Negative control: eval() and train() set the frozen batch-norm to training mode.
    model.eval()
    model.train()
    assert [m.training for m in model.modules()] != modes


def test_the_state_is_restored_after_an_exception():
    model = model_with_frozen_norm()
    expected = expected_state()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    with pytest.raises(KeyboardInterrupt), quiet(model):  # noqa: PT012
        change_state(model)
        raise KeyboardInterrupt
    assert [m.training for m in model.modules()] == expected["modes"]
    assert streams() == expected["streams"]
    assert torch.is_grad_enabled()
    assert model[3].passes == 0


def test_gradients_can_be_computed_inside_inference_mode_and_autocast():
    model = nn.Linear(3, 3)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        with quiet(model):
            x = torch.ones(1, 3, requires_grad=True)
            y = model(x)
            assert y.dtype is torch.float32
            y.sum().backward(inputs=[x])
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
    assert model.weight.grad is None


def test_compiled_modules_are_not_recompiled():
    compilations = []

    def backend(graph, inputs):
        compilations.append(len(inputs))
        return graph.forward

    model = torch.compile(nn.Linear(3, 3), backend=backend)
    model(torch.rand(2, 3))
    before = len(compilations)
    with quiet(model):
        model(torch.rand(7, 3, requires_grad=True))
    assert len(compilations) == before
    model(torch.rand(7, 3, requires_grad=True))  # negative control
    assert len(compilations) > before


class Bounding(nn.Linear):
    """A layer that bounds its weights in place, which changes only large weights."""

    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(-1, 1)
        return super().forward(x)


def test_weights_are_restored_even_if_earlier_measurements_did_not_change_them():
    model = Bounding(3, 3)
    with quiet(model):  # no forward pass
        pass
    with quiet(model):  # no weight is large
        model(torch.rand(2, 3))
    nn.init.constant_(model.weight, 2.0)
    with quiet(model):
        model(torch.rand(2, 3))
    assert torch.equal(model.weight, torch.full((3, 3), 2.0))


def test_nested_measurements_copy_the_weights_once(monkeypatch):
    copied = []
    real = quiet_module.unchanged_tensors

    def counting(tensors, **options):
        if options:  # weights are kept on the CPU
            copied.extend(tensors)
        return real(tensors, **options)

    monkeypatch.setattr(quiet_module, "unchanged_tensors", counting)
    model = nn.Linear(3, 3)
    for measurement in (1, 2):
        with quiet(model), quiet(model):
            model(torch.rand(2, 3))
        assert len(copied) == 2 * measurement
