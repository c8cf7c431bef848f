"""Measurements compute float32 in float32, whatever the training computes in."""

import copy
import queue
import subprocess
import sys
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import backends, nn

from lightning_leaf import LocalDataMatrix
from lightning_leaf.model import float32
from lightning_leaf.model import quiet as quiet_module
from tests.support.oracle import data_matrix
from tests.support.undisturbed.float32_settings import (
    all_ieee,
    reset_products,
    set_node,
    settings,
)


@pytest.fixture(autouse=True)
def restored():
    """Restore the precision of products. That of convolutions cannot always be restored."""
    yield
    reset_products()
    if float32.HAS_NODES:
        set_node("generic", "all", "none")


def test_every_combination_of_settings_is_restored():
    """In both interfaces, in a process whose settings are those of PyTorch itself."""
    run_in_a_new_process("-m", "tests.support.undisturbed.float32_settings")


def run_in_a_new_process(*arguments):
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Spy(nn.Module):
    """A classifier that looks at the settings, in its forward pass and in its backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        seen.put(settings())
        return Look.apply(self.layer(x))


class Look(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        seen.put(settings())
        return gradient


seen: queue.SimpleQueue = queue.SimpleQueue()  # a list would be restored


def all_seen():
    return [seen.get() for _ in range(seen.qsize())]


def medium():
    torch.set_float32_matmul_precision("medium")


def tf32():
    set_node("generic", "all", "tf32")


def products():
    backends.cuda.matmul.allow_tf32 = True


CHOICES = [medium, products, *([tf32] if float32.HAS_NODES else [])]


@pytest.mark.parametrize("choose", [lambda: None, *CHOICES])
def test_a_model_sees_ieee_precision_during_a_measurement(choose, monkeypatch):
    choose()
    before = settings()
    LocalDataMatrix.at(Spy(), torch.rand(2, 3))
    assert seen.qsize() >= 4  # a trial and the gradients
    assert all(map(all_ieee, all_seen()))
    assert settings() == before
    # Negative control: without the precaution it sees the settings of the training.
    monkeypatch.setattr(quiet_module, "full_float32", nullcontext)
    LocalDataMatrix.at(Spy(), torch.rand(2, 3))
    assert not any(map(all_ieee, all_seen()))


class Writing(nn.Module):
    """A classifier whose forward pass writes settings."""

    def __init__(self, write) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.write = write

    def forward(self, x):
        self.write()
        return self.layer(x)


def flags():
    with backends.cudnn.flags(enabled=False, allow_tf32=False):
        pass


def old():
    backends.cudnn.allow_tf32 = False


WRITES = {
    "flags": flags,
    "old": old,
    **{
        f"{operation} {value}": partial(set_node, "cuda", operation, value)
        for operation in ("conv", "rnn")
        for value in ("ieee", "tf32", "none")
    },
}


def values_after_a_measurement(write):
    """Return all values, and those that convolutions and recurrent layers read below IEEE."""
    LocalDataMatrix.at(Writing(write), torch.rand(2, 3))
    values, generic = float32._values(), torch._C._get_fp32_precision_getter("generic", "all")
    set_node("generic", "all", "ieee")
    below = settings()
    set_node("generic", "all", generic)
    return values, below["cuda", "conv"], below["cuda", "rnn"]


def check_values_after_writes():
    """Check values that are built into PyTorch and values of a user, in this order."""
    nodes = [None, ("generic", "all"), ("cuda", "all"), ("cuda", "conv"), ("cuda", "rnn")]
    for node in nodes:
        if node:
            set_node(*node, "ieee")
        before = values_after_a_measurement(lambda: None)
        for name, write in WRITES.items():
            assert values_after_a_measurement(write) == before, (node, name)
        if node and node[1] == "all":
            set_node(*node, "none")


def check_that_built_in_values_can_be_lost():
    """Negative control: without the precaution a write of the model is not undone."""
    before = values_after_a_measurement(lambda: None)
    float32._built_in_values_kept = nullcontext
    is_built_in = float32.BUILT_IN in before[0].values()
    assert (values_after_a_measurement(WRITES["conv none"]) != before) == is_built_in


@pytest.mark.skipif(not float32.HAS_NODES, reason="needs PyTorch's new interface")
@pytest.mark.parametrize(
    "check", [check_values_after_writes, check_that_built_in_values_can_be_lost]
)
def test_writes_of_the_forward_pass_change_no_settings(check):
    """In a process whose settings are those of PyTorch itself, which cannot be written again."""
    name = check.__name__
    run_in_a_new_process("-c", f"from tests.model.test_float32 import {name}; {name}()")


def test_settings_are_restored_after_an_error():
    class Failing(Spy):
        def forward(self, x):
            medium()
            raise ArithmeticError

    torch.set_float32_matmul_precision("high")
    before = settings()
    with pytest.raises(ArithmeticError):
        LocalDataMatrix.at(Failing(), torch.rand(2, 3))
    assert settings() == before


def test_matrices_are_exact_if_a_training_computes_in_bfloat16(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    x = torch.rand(16, 64)
    expected = data_matrix(copy.deepcopy(model).double(), x.double())

    def error():
        difference = LocalDataMatrix.at(model, x).dense() - expected
        return float(difference.abs().max() / expected.abs().max())

    medium()
    assert error() < 1e-5
    monkeypatch.setattr(quiet_module, "full_float32", nullcontext)
    if error() < 1e-3:
        pytest.skip("this processor computes products of float32 matrices in float32 only")


def test_intel_gpus_compute_float32_in_float32_too(monkeypatch):
    allowed = [True]
    monkeypatch.setattr(torch._C, "_get_onednn_allow_tf32", lambda: allowed[-1], raising=False)
    monkeypatch.setattr(torch._C, "_set_onednn_allow_tf32", allowed.append, raising=False)
    with pytest.raises(KeyError), float32.full_float32():  # noqa: PT012
        assert allowed[-1] is False
        raise KeyError
    assert allowed == [True, False, True]
