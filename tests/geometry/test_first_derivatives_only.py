"""Many classes of models whose operations can be differentiated only once are measured exactly."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from lightning_leaf import LeafError, MatrixFreeDataMatrix, effective_rank, local_geometry
from lightning_leaf.geometry import tangent_space
from lightning_leaf.geometry.matrix_free.logit_jacobian import LogitJacobian, products_available
from lightning_leaf.model import chunks
from lightning_leaf.model.classifier import measuring
from tests.support import many_classes, oracle
from tests.support.cases import fresh_seeds

SEED = fresh_seeds(1)[0]
CLASSES = 161


class Once(torch.autograd.Function):
    """x² without a second derivative and without a forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


class Detached(torch.autograd.Function):
    """x² with a wrong second derivative, which PyTorch does not report."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient.detach()


class Foreign(torch.autograd.Function):
    """x² by another library, whose functions reject tensors with a graph by a TypeError."""

    @staticmethod
    def forward(ctx, x):
        ctx.x = x.detach()
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        if torch.is_grad_enabled():
            raise TypeError("expected an ordinary tensor")
        return 2 * ctx.x * gradient


class Applied(nn.Module):
    """A classifier that begins with one of the functions above."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.last = nn.Linear(12, CLASSES)

    def forward(self, x):
        return self.last(self.function.apply(x).tanh())


class Deformable(nn.Module):
    """A deformable convolution, which has first derivatives only (pytorch/vision #9094)."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import DeformConv2d

        self.offset = nn.Conv2d(1, 18, 3, padding=1)
        self.deformed = DeformConv2d(1, 4, 3, padding=1)
        self.last = nn.Linear(4 * 6 * 6, CLASSES)

    def forward(self, x):
        return 3 * self.last(self.deformed(x, self.offset(x)).tanh().flatten(1))


MODELS = {
    "once": (lambda: Applied(Once), (12,)),
    "detached": (lambda: Applied(Detached), (12,)),
    "foreign": (lambda: Applied(Foreign), (12,)),
    "deformable": (Deformable, (1, 6, 6)),
}


@pytest.fixture
def attempts(monkeypatch) -> list[int]:
    """The number of inputs at every attempt to find correct products."""
    counts = []
    choose = LogitJacobian.choose_method

    def counted(self):
        counts.append(len(self.scores))
        return choose(self)

    monkeypatch.setattr(LogitJacobian, "choose_method", counted)
    return counts


@pytest.mark.parametrize(
    ("name", "likelihood"),
    [*((name, "categorical") for name in MODELS), ("once", "bernoulli")],
)
def test_all_classes_are_taken_by_default(name, likelihood, attempts):
    make, shape = MODELS[name]
    torch.manual_seed(SEED)
    model, x = make(), torch.randn(3, *shape)
    exact = copy.deepcopy(model).double()
    expected = oracle.data_matrix(exact, x, likelihood)
    geometry = local_geometry(model, x, chunk_size=2, likelihood=likelihood)
    assert geometry.exact
    assert attempts == [2]  # once, not for each of the two chunks
    trace = expected.diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(geometry.trace, trace, rtol=1e-4)
    assert (geometry.standard_error == 0).all()
    values = torch.linalg.eigvalsh(expected)
    assert torch.allclose(geometry.eigenvalues, values.flip(1)[:, :8], rtol=1e-3, atol=1e-7)
    rank = effective_rank(values)
    assert torch.allclose(geometry.effective_rank["entropy"], rank, rtol=1e-3)
    assert geometry.tangent_dimension.isfinite().all()


def test_products_that_were_asked_for_raise_an_error():
    """Negative control: what all classes are taken instead of."""
    model, x = Applied(Once), torch.randn(3, 12)
    for measure in (
        lambda: local_geometry(model, x, exact=False),
        lambda: MatrixFreeDataMatrix.at(model, x).eigenvalues(2),
    ):
        with pytest.raises(LeafError, match=r"differentiated twice.*exact=True"):
            measure()
    assert local_geometry(model, x, exact=True).exact


def test_models_with_products_are_estimated(attempts):
    """Negative control: the default for more than 160 classes."""
    model, x = many_classes.make("perceptron", SEED, batch=5)
    assert not local_geometry(model, x, chunk_size=2).exact
    assert attempts == [2]
    with measuring(model) as classifier:
        assert products_available(classifier, x)


def test_few_classes_are_measured_without_an_attempt(attempts):
    local_geometry(nn.Linear(12, 160), torch.randn(3, 12))
    assert attempts == []


class Blank(nn.Module):
    """Derivatives that are infinite where the first coordinate is zero, and zero where it is −1."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(12, CLASSES)

    def forward(self, x):
        active = (x[:, :1] > -0.5).float()
        return self.last(active * Detached.apply(x)) + x[:, :1].abs().sqrt() * active


@pytest.mark.parametrize("chunk_size", [2, 8])
def test_inputs_without_derivatives_do_not_decide(chunk_size):
    torch.manual_seed(SEED)
    model, x = Blank(), torch.rand(8, 12) + 0.5
    x[:2, 0] = 0.0
    x[2:4, 0] = -1.0
    x[4, 3] = torch.nan
    geometry = local_geometry(model, x, chunk_size=chunk_size)
    assert geometry.exact
    good = torch.tensor([5, 6, 7])
    assert geometry.finite.nonzero().flatten().tolist() == [2, 3, *good.tolist()]
    expected = oracle.data_matrix(copy.deepcopy(model).double(), x[good])
    trace = expected.diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(geometry.trace[good], trace, rtol=1e-4)
    assert (geometry.trace[2:4] == 0).all()


@pytest.mark.parametrize("numbers", [2**28, 3 * CLASSES * 12])
def test_gradients_of_many_classes_fit_into_memory(numbers, monkeypatch):
    """Only the gradients of a chunk exist at a time."""
    monkeypatch.setattr(chunks, "NUMBERS_AT_ONCE", numbers)
    kept = []

    class Recorded(tangent_space.TangentSpace):
        def __init__(self, rows) -> None:
            kept.append(rows.numel())
            super().__init__(rows)

    monkeypatch.setattr("lightning_leaf.geometry.local_geometry.TangentSpace", Recorded)
    geometry = local_geometry(Applied(Once), torch.randn(10, 12), ranks=(), eigenvalues=0)
    assert geometry.finite.all()
    assert max(kept) <= numbers
    assert (max(kept) == 10 * (CLASSES - 1) * 12) == (numbers == 2**28)  # negative control
