"""Unusual models, settings and shortage of memory on a GPU. What can be run on the CPU also is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import (
    LocalDataMatrix,
    MatrixFreeDataMatrix,
    horizontal_path,
    orthogonal_walk,
)
from lightning_leaf.model.memory import FittingChunks, available_bytes
from tests.gpu.conftest import NEEDS_CUDA
from tests.gpu.tf32 import tf32_by_the_old_interface
from tests.support import oracle
from tests.support.agreement import relative
from tests.support.cases import image_cnn


class Recurrent(nn.Module):
    """Scores from the last state of a recurrent layer."""

    def __init__(self, layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.layer = layer(4, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layer(x)[0][:, -1])
        return scores


class Attention(nn.Module):
    """Scores from attention as PyTorch's fused kernels compute it."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(4, 24), nn.Linear(5 * 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        scores: Tensor = self.head(mixed.transpose(1, 2).flatten(1))
        return scores


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 16, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(5 * 4, 3))


SEQUENCES: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "RNN": lambda: Recurrent(nn.RNN),
    "fused attention": Attention,
    "transformer encoder": encoder,
}


@pytest.mark.parametrize("build", SEQUENCES.values(), ids=SEQUENCES.keys())
def test_models_of_sequences(build: Callable[[], nn.Module], device: torch.device) -> None:
    torch.manual_seed(0)
    model, x, v = build(), torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    exact = copy.deepcopy(model).double().eval()
    model.to(device).train()  # as in a training, of which cuDNN keeps a workspace
    model(x.to(device)).sum().backward()
    expected = oracle.data_matrix(exact, x)
    assert relative(LocalDataMatrix.at(model, x).dense().cpu(), expected) < 1e-4
    product = (expected @ v.double().flatten(1).unsqueeze(-1)).reshape(x.shape)
    g = MatrixFreeDataMatrix.at(model, x)
    assert relative((g @ v.to(device)).cpu(), product) < 1e-4
    path = horizontal_path(model, x, v, max_steps=2, step_size=0.01, progress=False)
    for i, single in enumerate(path):
        step = oracle.project(exact, x[i : i + 1], (v - x)[i : i + 1])[0]
        step *= 0.01 / float(step.norm())
        assert (single.points[1] - single.points[0] - step).norm() < 1e-3 * 0.01


@contextmanager
def new_interface() -> Iterator[None]:
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip(f"torch {torch.__version__} has one interface only")
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    settings = torch.backends, cuda.matmul, cudnn.conv, cudnn.rnn
    before = [each.fp32_precision for each in settings]
    for each in settings:
        each.fp32_precision = "tf32"
    try:
        yield
    finally:
        for each, precision in zip(settings, before, strict=True):
            each.fp32_precision = precision


def product(device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(512, 512, generator=generator).to(device)
    return (a @ a).cpu()


@pytest.mark.parametrize("allowed", [tf32_by_the_old_interface, new_interface])
def test_tf32_of_the_user_has_no_effect(
    allowed: Callable[[], Iterator[None]], device: torch.device
) -> None:
    torch.manual_seed(0)
    model, x = image_cnn().eval(), torch.randn(3, 1, 10, 10)
    expected = oracle.data_matrix(copy.deepcopy(model).double(), x)
    model.to(device)
    exact = product(device)
    with allowed():
        assert relative(LocalDataMatrix.at(model, x).dense().cpu(), expected) < 1e-4
        if device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0):
            assert not torch.equal(product(device), exact)  # the setting does have an effect
    assert torch.equal(product(device), exact)


class Hungry(nn.Module):
    """A model for which memory does not suffice if there are many inputs."""

    def __init__(self, bytes_per_input: int, most: int | None) -> None:
        super().__init__()
        self.net = image_cnn()
        self.bytes_per_input = bytes_per_input
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. (simulated)")
        if self.most is None:
            torch.empty(len(x) * self.bytes_per_input, dtype=torch.uint8, device=x.device)
        scores: Tensor = self.net(x)
        return scores


@pytest.mark.parametrize("size", [64, None])
def test_measurements_go_on_in_smaller_chunks(size: int | None, device: torch.device) -> None:
    torch.manual_seed(0)
    model = Hungry(2**27, None if device.type == "cuda" else 4).to(device)
    x = torch.randn(64, 1, 10, 10)
    weights = copy.deepcopy(model.state_dict())
    expected = LocalDataMatrix.at(model.net, x, chunk_size=4).trace().cpu()
    filler = None
    if device.type == "cuda":
        torch.cuda.empty_cache()
        free = available_bytes(device)
        assert free is not None
        filler = torch.empty(free - 2**30, dtype=torch.uint8, device=device)  # leaves 1 GiB
    chunks = FittingChunks(size)
    try:
        found = chunks.run(lambda size: LocalDataMatrix.at(model, x, chunk_size=size).trace())
    finally:
        del filler
    assert chunks.size is not None
    assert 1 <= chunks.size <= 8
    assert torch.allclose(found.cpu(), expected, rtol=1e-4)
    assert all(torch.equal(weights[name], each) for name, each in model.state_dict().items())
    if device.type == "cuda":
        torch.cuda.empty_cache()


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=NEEDS_CUDA)])
def test_compiled_modules_are_measured_eagerly(device: str) -> None:
    """On the CPU, tests/undisturbed compares trainings of compiled modules."""
    torch.manual_seed(0)
    model, x = image_cnn().eval(), torch.randn(3, 1, 10, 10)
    expected = oracle.data_matrix(copy.deepcopy(model).double(), x)
    compiled = torch.compile(model.to(device), backend="aot_eager")
    compiled(x.to(device)).sum().backward()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert relative(LocalDataMatrix.at(compiled, x).dense().cpu(), expected) < 1e-4
    assert relative(LocalDataMatrix.at(compiled, x[:2]).dense().cpu(), expected[:2]) < 1e-4
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before


class Divided(nn.Module):
    """A model whose head is registered before its backbone, each on a device of its own."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3).to(second)
        self.backbone = nn.Linear(6, 8).to(first)
        self.devices = first, second

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.backbone(x).relu().to(self.devices[1]))
        return scores


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("devices", [("cuda:0", "cuda:1"), ("cuda:1", "cuda:0")])
def test_models_on_two_devices(devices: tuple[str, str]) -> None:
    torch.manual_seed(0)
    model, x = Divided("cpu", "cpu"), torch.randn(4, 6)
    expected = LocalDataMatrix.at(model, x)
    walked = orthogonal_walk(model, x, max_steps=3, progress=False)
    model.head.to(devices[1])
    model.backbone.to(devices[0])
    model.devices = devices
    assert relative(LocalDataMatrix.at(model, x).dense().cpu(), expected.dense()) < 1e-4
    found = orthogonal_walk(model, x, max_steps=3, progress=False)
    for one, other in zip(found, walked, strict=True):
        assert torch.allclose(one.points, other.points, atol=1e-4)
