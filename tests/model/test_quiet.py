"""After quiet(model), whatever happened inside, nothing has changed."""

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
    """Counts its forward passes in a buffer, in evaluation mode too, and logs each."""

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


def disturb(model) -> None:
    torch.rand(5)
    np.random.rand(5)  # noqa: NPY002
    random.random()
    model(torch.rand(2, 3))


def state(model):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    with quiet(model):
        disturb(model)
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


def test_nothing_has_changed_afterwards():
    assert state(model_with_frozen_norm()) == expected_state()


@pytest.mark.parametrize(
    ("precaution", "changed"),
    [
        ("random_streams", {"streams"}),
        ("evaluation_mode", set()),  # buffers are put back too; see the next test for modes
        ("unchanged_buffers", {"buffers"}),
        ("silent_log", {"logged"}),
    ],
)
def test_each_precaution_is_needed(precaution, changed, monkeypatch):
    """Negative control: without it, that part of the state is changed."""
    monkeypatch.setattr(quiet_module, precaution, lambda *_: nullcontext())
    actual, expected = state(model_with_frozen_norm()), expected_state()
    differing = {key for key in expected if actual[key] != expected[key]}
    assert differing == changed


class SelfWilled(nn.Linear):
    """Bounds its own weights, in place and by replacing them, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.calls = 0
        self.all_seen, self.counts, self.sizes = [0], {"calls": 0}, {0}
        self.register_buffer("scale", None)

    def forward(self, x):
        self.calls += 1
        self.scale, self.seen = x.std(), x
        self.all_seen.append(x)
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
        ("unchanged_attributes", {"calls", "scale", "seen", "all_seen", "counts", "sizes"}),
    ],
)
def test_what_a_forward_does_to_its_own_module_is_undone(missing, changed, monkeypatch):
    if missing:
        monkeypatch.setattr(quiet_module, missing, lambda *_: nullcontext())
    model = SelfWilled()
    nn.init.ones_(model.bias)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    memory = model.weight.data_ptr()
    with quiet(model):
        model(torch.rand(2, 3))
    found = {name for name, value in before.items() if not torch.equal(value, getattr(model, name))}
    found |= {"calls"} if model.calls else set()
    found |= {"scale"} if model.scale is not None else set()
    found |= {"seen"} if hasattr(model, "seen") else set()
    found |= {"all_seen"} if model.all_seen != [0] else set()
    found |= {"counts"} if model.counts != {"calls": 0} else set()
    found |= {"sizes"} if model.sizes != {0} else set()
    assert found == changed
    assert missing or model.weight.data_ptr() == memory


def test_every_sub_module_gets_its_own_mode_back():
    model = model_with_frozen_norm()
    modes = [m.training for m in model.modules()]
    with quiet(model):
        assert not any(m.training for m in model.modules())
    assert [m.training for m in model.modules()] == modes
    # Negative control: what one would do first wakes the frozen batch-norm.
    model.eval()
    model.train()
    assert [m.training for m in model.modules()] != modes


def test_everything_is_restored_after_an_exception():
    model = model_with_frozen_norm()
    expected = expected_state()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    with pytest.raises(KeyboardInterrupt), quiet(model):  # noqa: PT012
        disturb(model)
        raise KeyboardInterrupt
    assert [m.training for m in model.modules()] == expected["modes"]
    assert streams() == expected["streams"]
    assert torch.is_grad_enabled()
    assert model[3].passes == 0


def test_gradients_are_taken_inside_inference_mode_and_autocast():
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


def test_compiled_modules_are_not_compiled_once_more():
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
    model(torch.rand(7, 3, requires_grad=True))  # negative control: outside it would be
    assert len(compilations) > before


class Bounding(nn.Linear):
    """Bounds its weights in place, which shows only when they have grown."""

    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(-1, 1)
        return super().forward(x)


def test_weights_are_restored_also_where_earlier_measurements_left_them_alone():
    model = Bounding(3, 3)
    with quiet(model):  # nothing is run
        pass
    with quiet(model):  # nothing is bounded
        model(torch.rand(2, 3))
    nn.init.constant_(model.weight, 2.0)
    with quiet(model):
        model(torch.rand(2, 3))
    assert torch.equal(model.weight, torch.full((3, 3), 2.0))


def test_measurements_within_each_other_copy_the_weights_once(monkeypatch):
    copied = []
    restoring = quiet_module._restoring
    monkeypatch.setattr(
        quiet_module,
        "_restoring",
        lambda tensors, **options: restoring((copied.append(t) or t for t in tensors), **options),
    )
    model = nn.Linear(3, 3)
    for measurement in (1, 2):
        with quiet(model), quiet(model):
            model(torch.rand(2, 3))
        assert len(copied) == 2 * measurement
