"""State that a forward pass reaches through the user's own functions and objects is restored."""

import sys
import types

import pytest
import torch
from torch import nn

from lightning_leaf.model import held_state
from lightning_leaf.model.quiet import quiet
from lightning_leaf.model.user_code import is_user_code

HELPER = """
ADDED = []
class Saver:
    def __init__(self, part):
        self.outputs = []
        part.register_forward_hook(self.save)
    def save(self, part, inputs, output):
        self.outputs.append(output)
class Counter:
    instance = None
    def __init__(self):
        self.count = 0
    @classmethod
    def get(cls):
        if cls.instance is None:
            cls.instance = cls()
        return cls.instance
def add(value, kept=[]):
    ADDED.append(value)
    kept.append(value)
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Return a module of the user's project in another package than the model's."""
    module = types.ModuleType("helper_of_the_user")
    module.__file__ = str(tmp_path / "helper_of_the_user.py")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(HELPER, vars(module))
    monkeypatch.setattr(sys.modules[__name__], "helper_module", module, raising=False)
    is_user_code.cache_clear()
    yield module
    is_user_code.cache_clear()


class Model(nn.Module):
    def __init__(self, saver):
        super().__init__()
        self.net = nn.Linear(3, 2)
        self.saver = saver(self.net)
        self.bytes = bytearray(2)

    def forward(self, x):
        return self._forward_impl(x)

    def _forward_impl(self, x):
        def count():
            helper_module.Counter.get().count += 1  # noqa: F821
            helper_module.ADDED.append(x)  # noqa: F821

        count()
        helper_module.add(x.sum())  # noqa: F821
        self.bytes[0] += 1
        return self.net(x)


def state(helper, model):
    counter = helper.Counter.instance
    return (
        len(model.saver.outputs),
        len(helper.ADDED),
        len(helper.add.__defaults__[0]),
        None if counter is None else counter.count,
        bytes(model.bytes),
    )


@pytest.mark.parametrize("used", [False, True], ids=["at first use", "later"])
def test_objects_and_variables_of_the_users_project_are_restored(helper, used, monkeypatch):
    model = Model(helper.Saver)
    if used:
        model(torch.rand(1, 3))
    before = state(helper, model)
    with quiet(model):
        model(torch.rand(2, 3))
        assert state(helper, model) != before
    assert state(helper, model) == before
    # Negative control: code that is not known to be the user's is not searched.
    monkeypatch.setattr(held_state, "is_user_code", lambda name: False)
    with quiet(model):
        model(torch.rand(2, 3))
    assert state(helper, model) != before


def test_installed_packages_are_not_the_users_code():
    assert is_user_code(__name__)
    assert is_user_code("__main__")
    for name in ("torch.nn", "json", "numpy", "lightning_leaf.model", "torchvision.models"):
        assert not is_user_code(name)
