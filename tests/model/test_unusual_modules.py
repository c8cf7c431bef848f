"""Compiled, exported and loaded modules, and tensors of unusual kinds, are measured."""

import copy
import io

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, horizontal_path
from lightning_leaf.model.classifier import Classifier, measuring
from lightning_leaf.model.model_tensors import devices_of
from tests.support.oracle import data_matrix

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning",
    "ignore:.*torch.jit:DeprecationWarning",
    "ignore:torch.ao.quantization is deprecated:DeprecationWarning",
    "ignore:torch.quantize_per_tensor:UserWarning",
    "ignore:quantized.*autograd kernel:UserWarning",
    "ignore:Sparse CSR:UserWarning",
    "ignore:.*[Nn]ested tensors:UserWarning",
)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(4, 12)


def loaded(module):
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def exported(module, x):
    size = torch.export.Dim("size", min=1, max=64)
    return torch.export.export(module, (x,), dynamic_shapes=({0: size},)).module()


MADE = {
    "scripted": lambda m, x: torch.jit.script(m),
    "traced": lambda m, x: torch.jit.trace(m, x),
    "loaded": lambda m, x: loaded(torch.jit.script(m)),
    "frozen": lambda m, x: torch.jit.freeze(torch.jit.script(m)),
    "exported": exported,
    "part scripted": lambda m, x: nn.Sequential(torch.jit.script(m[:2]), *m[2:]),
    "part loaded": lambda m, x: nn.Sequential(loaded(torch.jit.script(m[:2])), *m[2:]),
    "part exported": lambda m, x: nn.Sequential(exported(m[:2], x), *m[2:]),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_compiled_and_exported_modules_are_measured(make, x):
    module = net().eval()
    expected = data_matrix(copy.deepcopy(module).double(), x)
    model = make(module, x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    g = LocalDataMatrix.at(model, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    assert horizontal_path(model, x[:1], x[1:2], max_steps=1, progress=False).steps.tolist() == [1]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Holding(nn.Module):
    """A classifier with one more tensor, which its forward may use."""

    def __init__(self, tensor=None, parameter=False, use=lambda x, tensor: x) -> None:
        super().__init__()
        self.net, self.use = net(), use
        if parameter:
            self.extra = nn.Parameter(tensor, requires_grad=False)
        else:
            self.register_buffer("extra", tensor)

    def forward(self, x):
        return self.net(self.use(x, self.extra))


def ragged(layout):
    return torch.nested.nested_tensor([torch.rand(2), torch.rand(3)], layout=layout)


TENSORS = {
    "sparse": (lambda: torch.eye(12).to_sparse(), lambda x, t: torch.sparse.mm(t, x.T).T),
    "compressed": (lambda: torch.eye(12).to_sparse_csr(), lambda x, t: (t @ x.T).T),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(12), 0.5, 0, torch.qint8),
        lambda x, t: x * t.dequantize(),
    ),
    "nested": (lambda: ragged(torch.strided), lambda x, t: x),
    "jagged": (lambda: ragged(torch.jagged), lambda x, t: x),
    "meta": (lambda: torch.empty(1000, device="meta"), lambda x, t: x),
    "complex": (lambda: torch.ones(12, dtype=torch.complex64), lambda x, t: (x * t).real),
}


@pytest.mark.parametrize(("make", "use"), TENSORS.values(), ids=TENSORS.keys())
@pytest.mark.parametrize("parameter", [False, True], ids=["buffer", "parameter"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "half"])
def test_tensors_of_other_kinds_do_not_disturb(make, use, parameter, half, x):
    tensor = make()
    if parameter and not (tensor.is_floating_point() or tensor.is_complex()):
        pytest.skip("no such parameter exists")
    model = Holding(tensor, parameter, use).eval()
    if half:
        model.net.to(torch.bfloat16)
    expected = data_matrix(copy.deepcopy(model.net).double(), x)
    with measuring(model) as classifier:
        assert classifier.device == torch.device("cpu")
        assert classifier.dtype is torch.float32
        g = LocalDataMatrix.at(classifier, x)
    assert torch.allclose(g.dense(), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    assert model.extra is tensor or parameter


class OnDevice:
    """A stand-in for a tensor on a device that this machine lacks."""

    def __init__(self, device) -> None:
        self.device = torch.device(device)


DEVICES = {
    "all on one": (["cuda:1", "cuda:1"], ["cuda:1"]),
    "meta": (["meta", "cuda:0"], ["cuda:0"]),
    "kept on the CPU": (["cpu", "cuda:0"], ["cuda:0", "cpu"]),
    "several": (["cuda:1", "cpu", "cuda:0"], ["cuda:1", "cuda:0", "cpu"]),
    "only meta": (["meta"], []),
    "none": ([], []),
}


@pytest.mark.parametrize(("devices", "expected"), DEVICES.values(), ids=DEVICES.keys())
def test_tensors_that_do_not_run_do_not_decide_the_device(devices, expected):
    found = devices_of([OnDevice(device) for device in devices])
    assert found == [torch.device(device) for device in expected]


def test_parameters_decide_the_device_before_buffers(x):
    model = Holding(torch.empty(3), use=lambda x, t: x)
    model.extra = torch.empty(3, device="meta")
    assert Classifier(model).device == torch.device("cpu")


def test_quantized_modules_are_refused(x):
    """PyTorch has no derivatives of quantized layers."""
    quantized = torch.ao.quantization.quantize_dynamic(net().eval(), {nn.Linear})
    with pytest.raises(LeafError, match="its forward pass uses quantized layers") as caught:
        LocalDataMatrix.at(quantized, x)
    assert "\n" not in str(caught.value)
