"""The gradients of all contrasts: in one pass or one by one, the same rows."""

import warnings

import pytest
import torch
from torch import nn

from lightning_leaf import LocalDataMatrix
from lightning_leaf.model import contrast_gradients
from tests.support import oracle
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]


@pytest.fixture(params=CASES, ids=str)
def prepared(request):
    """A model in float64, scores, and the inputs that they can be differentiated by."""
    model, x = request.param.make(SEED)
    model, x = model.double().eval(), x.double().requires_grad_()
    return model, model(x.clone()), x


@pytest.mark.parametrize("limit", [0, 2**17], ids=["one by one", "in one pass"])
def test_rows_are_those_of_the_oracle(prepared, limit, monkeypatch):
    monkeypatch.setattr(contrast_gradients, "NUMBERS_IN_ONE_PASS", limit)
    model, scores, x = prepared
    rows = contrast_gradients.contrast_gradients(scores, x)
    for row, one in zip(rows, x.detach(), strict=True):
        expected = oracle.contrasts(model, one)
        assert torch.allclose(row[1:], expected, atol=1e-10)
        assert (row[0] == 0).all()
        wrong = row[1:] + 1e-3 * row[1:].norm()  # negative control
        assert not torch.allclose(wrong, expected, atol=1e-10)


def passes(count: int, size: int, monkeypatch) -> list[str]:
    """Which way a batch of so many inputs goes: 10 classes, ``size`` numbers each."""
    taken = []
    for name in ("in_one_pass", "one_by_one"):
        original = getattr(contrast_gradients, name)

        def spied(*arguments, name=name, original=original):
            taken.append(name)
            return original(*arguments)

        monkeypatch.setattr(contrast_gradients, name, spied)
    LocalDataMatrix.at(nn.Linear(size, 10), torch.randn(count, size), chunk_size=count)
    return taken


@pytest.mark.parametrize(("count", "size"), [(1, 20), (16, 910)])  # 16 · 9 · 910 ≤ 2¹⁷
def test_small_batches_take_one_pass(monkeypatch, count, size):
    assert passes(count, size, monkeypatch) == ["in_one_pass"]


@pytest.mark.parametrize(("count", "size"), [(17, 20), (16, 911)])
def test_large_batches_take_one_for_every_class(monkeypatch, count, size):
    assert passes(count, size, monkeypatch) == ["one_by_one"]


class Doubled(torch.autograd.Function):
    """Cannot be vectorised."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        assert gradient.numel() == gradient.detach().numpy().size
        return 2 * gradient


class Rare(torch.autograd.Function):
    """Has an operation in its backward that is vectorised by a loop, with a warning."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if torch._C._functorch.is_batchedtensor(gradient):
            warnings.warn("There is a performance drop because …", stacklevel=1)
        return gradient


def test_hooks_that_do_not_expect_it_are_no_error():
    model, x = CASES[0].make(SEED)
    shapes = []

    def hook(module, inputs, outputs):
        (gradient,) = outputs
        if torch._C._functorch.is_batchedtensor(gradient):
            raise TypeError("what is this?")
        shapes.append(gradient.shape)

    model.register_full_backward_hook(hook)
    assert (LocalDataMatrix.at(model, x).trace() > 0).all()
    assert len(shapes) >= 3  # one by one


@pytest.mark.parametrize("function", [Doubled, Rare])
def test_models_that_cannot_be_vectorised_are_measured_all_the_same(function):
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(20, 5)

        def forward(self, x):
            return self.last(function.apply(x))

    torch.manual_seed(SEED)
    model, x = Model(), torch.randn(3, 20)
    factor = 2 if function is Doubled else 1
    weight = factor * model.last.weight.detach().double()
    g = LocalDataMatrix.at(model, x)
    p = g.log_probs.exp()
    for i in range(3):
        expected = weight.T @ (torch.diag(p[i]) - torch.outer(p[i], p[i])) @ weight
        assert torch.allclose(g.dense()[i], expected, rtol=1e-4, atol=1e-7)


def test_running_out_of_memory_in_one_pass_is_no_end(monkeypatch):
    def scarce(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch, "vmap", lambda *_: scarce)
    model, x = CASES[0].make(SEED)
    assert (LocalDataMatrix.at(model, x).trace() > 0).all()
