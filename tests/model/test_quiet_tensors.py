"""quiet(model) restores tensors of every kind, bit by bit."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import utils
from torch.nn.utils import parametrizations, parametrize, prune
from torchvision.tv_tensors import Image

from lightning_leaf import LocalDataMatrix
from lightning_leaf.model import dense_copies, unchanged_tensors
from lightning_leaf.model.quiet import quiet

IGNORED = (".*deprecated", "Sparse .* tensor support is in beta", ".*prototype stage")
pytestmark = [pytest.mark.filterwarnings(f"ignore:{message}") for message in IGNORED]


class Subclass(torch.Tensor):
    """A tensor with its own type."""


def made(kind: str) -> torch.Tensor:
    dense = torch.eye(4)
    nested = [torch.rand(2), torch.rand(3)]
    return {
        "dense": lambda: dense,
        "float16": dense.half,
        "complex": lambda: torch.rand(3, dtype=torch.complex64),
        "bool": lambda: dense > 0,
        "NaN and −0": lambda: torch.tensor([float("nan"), -0.0]),
        "transposed": lambda: torch.rand(2, 3).t(),
        "empty": lambda: torch.empty(0),
        "sparse": dense.to_sparse,
        "rows": dense.to_sparse_csr,
        "columns": dense.to_sparse_csc,
        "blocks": lambda: dense.to_sparse_bsr((2, 2)),
        "quantized": lambda: torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8),
        "nested": lambda: torch.nested.nested_tensor(nested),
        "jagged": lambda: torch.nested.nested_tensor(nested, layout=torch.jagged),
        "subclass": lambda: dense.as_subclass(Subclass),
        "image": lambda: Image(torch.rand(3, 2, 2)),
        "meta": lambda: torch.rand(2, device="meta"),
        "MKL-DNN": dense.to_mkldnn,
    }[kind]()


KINDS = (
    *("dense", "float16", "complex", "bool", "NaN and −0", "transposed", "empty", "sparse", "rows"),
    *("columns", "blocks", "quantized", "nested", "jagged", "subclass", "image", "meta", "MKL-DNN"),
)


def write(tensor: torch.Tensor) -> None:
    with torch.no_grad():
        if tensor.dtype == torch.bool:
            tensor.logical_not_()
        elif tensor.is_quantized:
            tensor.copy_(torch.quantize_per_tensor(torch.zeros(4, 4), 0.1, 0, torch.qint8))
        elif tensor.numel() == 0:
            tensor.resize_(3).fill_(1.0)
        else:
            tensor.mul_(-3.0)  # changes −0 too


def parts(tensor: torch.Tensor) -> list[list[object]]:
    found = unchanged_tensors._parts(tensor)
    return [[p.shape, p.stride(), dense_copies.bits(p).clone()] for p in found]


def same(a, b) -> bool:
    return len(a) == len(b) and all(
        x[:2] == y[:2] and torch.equal(x[2], y[2]) for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_buffers_of_every_kind_are_restored(kind):
    model = nn.Linear(4, 4)
    model.register_buffer("kept", made(kind))
    tensor, before, version = model.kept, parts(model.kept), model.kept._version
    with quiet(model):
        pass
    assert tensor._version == version  # an unchanged tensor is not written
    with quiet(model):
        if kind != "MKL-DNN":  # supports no writing
            write(tensor)
        written = parts(tensor)
    assert model.kept is tensor
    assert same(parts(tensor), before)
    # Negative control: the write did change it.
    assert kind in ("meta", "MKL-DNN") or not same(written, before)


def test_assignments_of_other_types_and_layouts_are_undone():
    model = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(4, 4, 3))
    sum(p.sum() for p in model.parameters()).backward()
    before = [(p, parts(p)) for p in model.parameters()]
    with quiet(model):
        model[0].bfloat16()
        model[1].to(memory_format=torch.channels_last)
        model[1].bias.data = torch.empty(0)
        assert all(not same(parts(p), kept) for p, kept in before)
    assert all(a is b for a, (b, _) in zip(model.parameters(), before, strict=True))
    assert all(same(parts(p), kept) and p.grad.dtype == p.dtype for p, kept in before)


def test_sparse_parameters_are_restored():
    model = nn.Linear(4, 4)
    model.sparse = nn.Parameter(torch.eye(4).to_sparse())
    with quiet(model), torch.no_grad():
        model.sparse.data.add_(torch.ones(4, 4).to_sparse())
    assert torch.equal(model.sparse.detach().to_dense(), torch.eye(4))


def fake_quantized():
    """Return a module whose observers update their ranges, also in evaluation mode."""
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver

    return nn.Sequential(
        FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255), nn.Linear(4, 4)
    )


class Symmetric(nn.Module):
    """A parametrization of weights."""

    def forward(self, weight):
        return weight.triu() + weight.triu(1).transpose(-1, -2)


def parametrized():
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


class Slots(nn.Linear):
    """A module with slots and a property."""

    __slots__ = ("count",)

    @property
    def scale(self):
        return getattr(self, "count", 0)

    def forward(self, x):
        self.count = self.scale + 1
        return super().forward(x)


class Counting(nn.Module):
    """A module for scripting, with attributes of three types."""

    count: int
    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.count, self.sizes, self.layer = 0, [1], nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.count += 1
        self.sizes.append(x.size(0))
        self.calls += 1
        return self.layer(x)


def loaded(tmp_path):
    torch.jit.save(torch.jit.script(Counting()), tmp_path / "model.pt")
    return torch.jit.load(tmp_path / "model.pt")


MODULES = {
    "spectral norm": lambda _: utils.spectral_norm(nn.Linear(4, 4)),
    "spectral norm, parametrized": lambda _: parametrizations.spectral_norm(nn.Linear(4, 4)),
    "weight norm": lambda _: utils.weight_norm(nn.Linear(4, 4)),
    "weight norm, parametrized": lambda _: parametrizations.weight_norm(nn.Linear(4, 4)),
    "pruned": lambda _: prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5),
    "parametrized": lambda _: parametrized(),
    "fake quantized": lambda _: fake_quantized(),
    "slots": lambda _: Slots(4, 4),
    "scripted": lambda _: torch.jit.script(Counting()),
    "traced": lambda _: torch.jit.trace(nn.Linear(4, 4), torch.rand(2, 4)),
    "loaded": loaded,
}


def contents(model):
    """Return the state of a module, with the attributes of scripted modules."""
    found = {}
    for name, part in model.named_modules():
        attributes = {
            key: value for key, value in vars(part).items() if isinstance(value, int | torch.Tensor)
        }
        script = ("count", "sizes", "calls") if isinstance(part, torch.jit.ScriptModule) else ()
        attributes |= {key: getattr(part, key) for key in script if hasattr(part, key)}
        attributes |= {"slot": part.scale} if isinstance(part, Slots) else {}
        tensors = dict(part.named_parameters(recurse=False)) | dict(part.named_buffers())
        for key, value in (attributes | tensors).items():
            found[f"{name}.{key}"] = value.tolist() if isinstance(value, torch.Tensor) else value
    return found


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_many_kinds_are_restored(name, tmp_path):
    wrapped = nn.Sequential(MODULES[name](tmp_path), nn.Tanh())
    wrapped(torch.rand(2, 4))
    before = contents(wrapped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet(wrapped):
            wrapped(5 * torch.rand(3, 4, requires_grad=True)).sum().backward()
    assert contents(wrapped) == before
    if name in {"fake quantized", "slots", "scripted", "loaded"}:  # negative control
        wrapped(5 * torch.rand(3, 4))
        assert contents(wrapped) != before


def test_an_error_does_not_keep_other_tensors_from_being_restored(monkeypatch):
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    nn.init.ones_(model[2].weight)
    real = dense_copies.restore_memory
    failing = model[0].weight

    def restore(copy):
        if copy.tensor is failing:
            raise ArithmeticError("while restoring")
        real(copy)

    monkeypatch.setattr(dense_copies, "restore_memory", restore)
    with pytest.raises(ArithmeticError, match="while restoring"), quiet(model), torch.no_grad():
        model[2].weight.zero_()
    assert torch.equal(model[2].weight, torch.ones(2, 2))
    assert model.training


class Odd(nn.Module):
    """A model that writes to tensors whose numbers are not one block of memory of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)
        self.expanded = nn.Parameter(torch.ones(3, 1).expand(3, 5), requires_grad=False)
        matrix = torch.randn(4, 4, dtype=torch.complex64)
        self.register_buffer("adjoint", matrix.mH)
        self.register_buffer("negative", matrix.conj().imag)

    def forward(self, x):
        with torch.no_grad():
            self.expanded.data[:, :1] += 1
            self.adjoint += 1
            self.negative += 1
        return self.last(x)


def test_writes_to_expanded_and_lazily_conjugated_tensors_are_undone():
    model, x = Odd(), torch.randn(2, 4)
    assert model.adjoint.is_conj()
    assert model.negative.is_neg()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert (LocalDataMatrix.at(model, x).trace() > 0).all()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model(x)  # negative control
    changed = [name for name, value in model.state_dict().items() if (before[name] != value).any()]
    assert changed == ["expanded", "adjoint", "negative"]
