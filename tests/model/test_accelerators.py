"""The state of every accelerator in use is restored, and no other is initialized."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_leaf.model import accelerators
from lightning_leaf.model import quiet as quiet_module
from lightning_leaf.model.accelerators import autocast_is_enabled, modules_in_use
from lightning_leaf.model.quiet import no_autocast, quiet, random_streams


class Accelerator(SimpleNamespace):
    """A stand-in for the module of an accelerator, such as ``torch.xpu``."""

    def __init__(self, initialized=True, states=2) -> None:
        super().__init__(initialized=initialized, states=[0] * states, reads=0)

    def is_available(self):
        return True

    def is_initialized(self):
        return self.initialized

    def get_rng_state_all(self):
        self.reads += 1
        return list(self.states)

    def set_rng_state_all(self, states):
        self.states = list(states)


class Single:
    """A stand-in for ``torch.mps``, which has one device and is always initialized."""

    state = 0

    def is_available(self):
        return True

    def get_rng_state(self):
        return self.state

    def set_rng_state(self, state):
        self.state = state


@pytest.fixture
def use(monkeypatch):
    def using(module):
        monkeypatch.setattr(torch, "hpu", module, raising=False)
        device = SimpleNamespace(type="hpu")
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: device)
        return module

    return using


def test_random_states_of_other_accelerators_are_restored(use):
    module = use(Accelerator())
    with random_streams():
        module.states[1] = 7
    assert module.states == [0, 0]
    single = use(Single())
    with random_streams():
        single.state = 7
    assert single.state == 0


def test_an_accelerator_that_is_not_in_use_is_not_read(use):
    module = use(Accelerator(initialized=False))
    with quiet(nn.Linear(2, 2)):
        pass
    assert module.reads == 0
    module.initialized = True  # negative control
    with quiet(nn.Linear(2, 2)):
        pass
    assert module.reads == 1


@pytest.mark.parametrize("module", [None, SimpleNamespace(is_available=lambda: True)])
def test_a_backend_without_these_functions_is_left_alone(module, use):
    use(module)
    with random_streams(), no_autocast():
        pass
    assert modules_in_use() == ([] if module is None else [module])


def test_autocast_of_other_accelerators_is_off(monkeypatch):
    monkeypatch.setattr(quiet_module, "accelerator_types", lambda: ["xpu", "unknown"])
    with torch.autocast("xpu", dtype=torch.bfloat16, enabled=True):
        assert autocast_is_enabled("xpu")
        with no_autocast():
            assert not autocast_is_enabled("xpu")
        assert autocast_is_enabled("xpu")


def test_types_without_autocast_are_known():
    assert not autocast_is_enabled("unknown")
    assert not autocast_is_enabled("lazy")


def test_cuda_is_asked_besides_the_current_accelerator(use, monkeypatch):
    module = use(Accelerator())
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert modules_in_use() == [torch.cuda, module]
    assert accelerators.accelerator_types() == ["cuda", "hpu"]
