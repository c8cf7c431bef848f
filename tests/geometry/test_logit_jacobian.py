"""Products with the Jacobian are correct for all kinds of models, without unneeded operations."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_leaf import LeafError
from lightning_leaf.geometry.matrix_free.input_linear import InputLinear
from lightning_leaf.geometry.matrix_free.logit_jacobian import LogitJacobian
from lightning_leaf.model.classifier import measuring
from tests.support import many_classes
from tests.support.cases import CASES, fresh_seeds

SEED = fresh_seeds(1)[0]


def dynamic() -> nn.Module:
    """A convolution whose weights depend on its input."""

    class Dynamic(nn.Module):
        def forward(self, x):
            return torch.cat([torch.conv1d(one[None], one[None, :, :3]) for one in x]).flatten(1)

    return Dynamic()


CONVOLUTIONS = {
    "strided": (lambda: nn.Conv1d(2, 4, 3, stride=2), (2, 11)),
    "dilated": (lambda: nn.Conv2d(2, 4, 3, dilation=2, padding=(1, 2)), (2, 9, 8)),
    "grouped": (lambda: nn.Conv2d(4, 8, 3, groups=4, bias=False), (4, 6, 6)),
    "same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 5, 5)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 5)),
    "volume": (lambda: nn.Conv3d(1, 3, 2), (1, 4, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 4, 4)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 3)), (2, 7)),
    "dynamic": (dynamic, (2, 7)),
}


def assert_products_agree(model: nn.Module, x: torch.Tensor) -> None:
    """Compare J v and Jᵀu with products of the dense Jacobian, in float64."""
    model = copy.deepcopy(model).double().eval()
    rows = [
        torch.autograd.functional.jacobian(lambda x: model(x.clone()), one[None])
        for one in x.double()
    ]
    exact = torch.stack([row[0].flatten(1) for row in rows])  # (B, C, d)
    with measuring(model) as classifier:
        jacobian = LogitJacobian(classifier, classifier.prepare(x.double()))
        v, u = torch.randn(len(x), exact.shape[2]).double(), torch.randn(*exact.shape[:2]).double()
        assert torch.allclose(jacobian @ v, (exact @ v.unsqueeze(2)).squeeze(2), atol=1e-9)
        assert torch.allclose(
            jacobian.transposed(u), (exact.mT @ u.unsqueeze(2)).squeeze(2), atol=1e-9
        )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_products_agree_with_the_dense_jacobian(case):
    assert_products_agree(*case.make(SEED))


@pytest.mark.parametrize("name", many_classes.MODELS)
def test_products_are_correct_for_many_classes(name):
    assert_products_agree(*many_classes.make(name, SEED))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_products_are_correct_for_every_convolution(name):
    layer, shape = CONVOLUTIONS[name]
    torch.manual_seed(SEED)
    assert_products_agree(nn.Sequential(layer(), nn.Tanh(), nn.Flatten()), torch.randn(3, *shape))


class Counted(TorchDispatchMode):
    """Counts convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.convolutions += "convolution" in func.__name__
        return func(*args, **(kwargs or {}))


def convolutions_of_a_product(mode) -> int:
    model, x = many_classes.make("convolutions", SEED)
    model.eval()
    x.requires_grad_()
    with mode:
        scores = model(x.clone())
    u = torch.ones_like(scores, requires_grad=True)
    (gradient,) = torch.autograd.grad(scores, x, u, create_graph=True)
    with Counted() as counted:
        torch.autograd.grad(gradient, u, torch.randn_like(gradient))
    return counted.convolutions


def test_a_product_takes_two_convolutions_for_two_layers():
    assert convolutions_of_a_product(InputLinear()) == 2


def test_a_product_takes_more_convolutions_without_input_linear():
    """Negative control."""
    import contextlib

    assert convolutions_of_a_product(contextlib.nullcontext()) > 2


def test_input_linear_does_not_change_values():
    model, x = many_classes.make("convolutions", SEED)
    model.eval()
    gradients = []
    for mode in (InputLinear(), torch.enable_grad()):
        x = x.detach().requires_grad_()
        with mode:
            scores = model(x.clone())
        gradients.append((scores.detach(), *torch.autograd.grad(scores[:, 0].sum(), x)))
    assert all(map(torch.equal, *gradients))


class Once(torch.autograd.Function):
    """A function that can be differentiated once, and in forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * ctx.saved_tensors[0] * tangent


class Detached(torch.autograd.Function):
    """A function with a wrong second derivative and without a forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient.detach()


def applied(function) -> nn.Module:
    class Applied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(6, 4)

        def forward(self, x):
            return self.last(function.apply(x) + 0 * x)

    torch.manual_seed(SEED)
    return Applied()


def test_forward_mode_is_used_if_a_model_cannot_be_differentiated_twice():
    assert_products_agree(applied(Once), torch.randn(3, 6))


def test_wrong_second_derivatives_raise_an_error():
    with (
        pytest.raises(LeafError, match=r"contradicts its first.*LocalDataMatrix\.at"),
        measuring(applied(Detached)) as classifier,
    ):
        LogitJacobian(classifier, classifier.prepare(torch.randn(3, 6))) @ torch.randn(3, 6)
