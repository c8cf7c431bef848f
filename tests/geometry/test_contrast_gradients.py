"""Gradients of contrasts are the same from one vectorized pass and from one pass for each class."""

import warnings

import pytest
import torch
from torch import nn

from lightning_leaf import LocalDataMatrix
from lightning_leaf.geometry import contrast_gradients
from lightning_leaf.model.classifier import Classifier
from tests.support import oracle
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]


@pytest.fixture(params=CASES, ids=str)
def prepared(request):
    """A model in float64, its scores, and the inputs, which require gradients."""
    model, x = request.param.make(SEED)
    model, x = model.double().eval(), x.double().requires_grad_()
    return model, model(x.clone()), x


@pytest.mark.parametrize("limit", [0, 2**17], ids=["one by one", "in one pass"])
def test_rows_agree_with_the_oracle(prepared, limit, monkeypatch):
    monkeypatch.setattr(contrast_gradients, "NUMBERS_IN_ONE_PASS", limit)
    model, scores, x = prepared
    rows = contrast_gradients.SpanningGradients(Classifier(model))(scores, x)
    for row, one in zip(rows, x.detach(), strict=True):
        expected = oracle.contrasts(model, one)
        assert torch.allclose(row, expected, atol=1e-10)
        wrong = row + 1e-3 * row.norm()  # negative control
        assert not torch.allclose(wrong, expected, atol=1e-10)


def passes(count: int, size: int, monkeypatch) -> list[str]:
    """Return the functions called for ``count`` inputs of ``size`` numbers and 10 classes."""
    called = []
    for name in ("in_one_pass", "one_by_one"):
        original = getattr(contrast_gradients, name)

        def recorded(*arguments, name=name, original=original, **options):
            called.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(contrast_gradients, name, recorded)
    LocalDataMatrix.at(nn.Linear(size, 10), torch.randn(count, size), chunk_size=count)
    return called


@pytest.mark.parametrize(("count", "size"), [(1, 20), (16, 910)])  # 16 · 9 · 910 ≤ 2¹⁷
def test_small_batches_use_one_pass(monkeypatch, count, size):
    assert passes(count, size, monkeypatch) == ["in_one_pass"]


@pytest.mark.parametrize(("count", "size"), [(17, 20), (16, 911)])
def test_large_batches_use_one_pass_for_each_class(monkeypatch, count, size):
    assert passes(count, size, monkeypatch) == ["one_by_one"]


class Doubled(torch.autograd.Function):
    """A function that cannot be vectorized."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        assert gradient.numel() == gradient.detach().numpy().size
        return 2 * gradient


class Rare(torch.autograd.Function):
    """A function whose backward pass is vectorized by a loop, with a warning."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if torch._C._functorch.is_batchedtensor(gradient):
            warnings.warn("There is a performance drop because …", stacklevel=1)
        return gradient


def test_hooks_that_reject_vectorized_gradients_do_not_raise():
    linear, x = CASES[0].make(SEED)
    shapes = []

    def hook(gradient):
        if torch._C._functorch.is_batchedtensor(gradient):
            raise TypeError("not an ordinary tensor")
        shapes.append(gradient.shape)

    def model(x):
        scores = linear(x)
        scores.register_hook(hook)
        return scores

    assert (LocalDataMatrix.at(model, x).trace() > 0).all()
    assert len(shapes) >= 3  # one by one


@pytest.mark.parametrize("function", [Doubled, Rare])
def test_models_that_cannot_be_vectorized_are_measured(function):
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


def test_one_pass_that_runs_out_of_memory_is_replaced_by_many(monkeypatch):
    def scarce(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch, "vmap", lambda *_: scarce)
    model, x = CASES[0].make(SEED)
    assert (LocalDataMatrix.at(model, x).trace() > 0).all()
