"""The simulated device counts what a GPU would do, and mistakes in the package are noticed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import LocalDataMatrix, horizontal_path
from lightning_leaf.model.classifier import Classifier
from tests.gpu.simulated_device import DEVICE, DeviceTensor, Simulation

Operation = Callable[[Tensor], Any]

WAITING: dict[str, Operation] = {
    "item": lambda x: x[0, 0].item(),
    "bool": lambda x: bool(x.any()),
    "float": lambda x: float(x.sum()),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "Boolean mask": lambda x: x[x > 0],
    "assignment of values by a Boolean mask": lambda x: x.__setitem__(x > 0, x.new_ones(4)),
    "index on the host": lambda x: x[torch.tensor([0, 1])],
    "index in a list": lambda x: x[[0, 1]],
    "copy to the host": lambda x: x.cpu(),
    "asynchronous copy to the host": lambda x: x.to("cpu", non_blocking=True),
    "copy to the device": lambda x: torch.ones(2).to(DEVICE),
    "tensor of a list": lambda x: torch.tensor([1.0, 2.0], device=DEVICE),
    "eigh": lambda x: torch.linalg.eigh(x.T @ x),
    "eigvalsh": lambda x: torch.linalg.eigvalsh(x.T @ x),
    "svd": lambda x: torch.linalg.svd(x),
    "cholesky": lambda x: torch.linalg.cholesky(x @ x.T),
    "solve": lambda x: torch.linalg.solve(x @ x.T, x),
    "equal": lambda x: torch.equal(x, x + 1),
    "allclose": lambda x: torch.allclose(x, x),
    "unique": lambda x: x.unique(),
}
NOT_WAITING: dict[str, tuple[Operation, int]] = {
    "sum": (lambda x: x + x, 1),
    "sum in place": (lambda x: x.add_(x), 1),
    "matrix product": (lambda x: x @ x.T, 1),
    "product with a number": (lambda x: x * 2.0, 1),
    "product with a number on the host": (lambda x: x * torch.tensor(2.0), 1),
    "views": (lambda x: x.T[1:].unsqueeze(0).expand(2, -1, -1), 0),
    "empty": (lambda x: torch.empty_like(x), 0),
    "zeros": (lambda x: x.new_zeros(3), 1),
    "conversion": (lambda x: x.double(), 1),
    "asynchronous copy to the device": (lambda x: torch.ones(2).to(DEVICE, non_blocking=True), 0),
    "assignment of a number by a mask": (lambda x: x.__setitem__(x > 0, 0.0), 3),
    "cholesky_ex": (lambda x: torch.linalg.cholesky_ex(x @ x.T), 2),
}


@pytest.fixture
def x(simulation: Simulation) -> Tensor:
    x = torch.tensor([[3.0, -1.0, 0.5], [0.0, 2.0, 1.0]]).to(DEVICE)
    simulation.counts.waits.clear()
    return x


@pytest.mark.parametrize("operation", WAITING.values(), ids=WAITING.keys())
def test_waiting_for_the_device_is_counted(
    simulation: Simulation, x: Tensor, operation: Operation
) -> None:
    operation(x)
    assert sum(simulation.counts.waits.values()) >= 1


@pytest.mark.parametrize(("operation", "kernels"), NOT_WAITING.values(), ids=NOT_WAITING.keys())
def test_other_operations_launch_kernels_only(
    simulation: Simulation, x: Tensor, operation: Operation, kernels: int
) -> None:
    operation(x)
    assert not simulation.counts.waits
    assert sum(simulation.counts.kernels.values()) == kernels


def test_values_and_derivatives_are_those_of_the_cpu(simulation: Simulation) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(2 * 4 * 4, 3))
    images = torch.randn(5, 1, 6, 6)

    def trained(model: nn.Module, x: Tensor) -> list[Tensor]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            model(x).logsumexp(1).sum().backward()
            optimizer.step()
        return list(model.state_dict().values())

    here = copy.deepcopy(model).to(DEVICE)
    assert all(type(each) is DeviceTensor for each in here.buffers())
    assert all(each.device == DEVICE for each in here.parameters())
    assert all(
        torch.equal(one.cpu(), other)
        for one, other in zip(trained(here, images.to(DEVICE)), trained(model, images), strict=True)
    )


def test_the_device_has_a_random_stream_of_its_own(simulation: Simulation) -> None:
    before = torch.get_rng_state()
    first, second = (torch.rand(3, device=DEVICE) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_device_without_float64_refuses_it() -> None:
    with Simulation(float64=False):
        x = torch.ones(2).to(DEVICE)
        for operation in (
            lambda: x.double(),
            lambda: x.to(torch.float64),
            lambda: torch.ones(2, dtype=torch.float64).to(DEVICE),
            lambda: torch.ones(2, dtype=torch.float64, device=DEVICE),
        ):
            with pytest.raises(TypeError, match="has no float64"):
                operation()
        assert x.cpu().double().dtype == torch.float64


def test_nothing_is_left_after_the_context() -> None:
    with Simulation():
        pass
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(2).to(DEVICE)


def plant(monkeypatch: pytest.MonkeyPatch, mistake: Callable[[Tensor], Tensor]) -> None:
    """Apply a mistake to all scores inside of the package."""
    scores = Classifier.scores
    monkeypatch.setattr(Classifier, "scores", lambda self, x: mistake(scores(self, x)))


def measured(simulation: Simulation) -> None:
    LocalDataMatrix.at(nn.Linear(6, 3).to(DEVICE), torch.randn(2, 6)).trace()


def by_host_matrix(scores: Tensor) -> Tensor:
    return scores @ torch.eye(scores.shape[1])


def with_noise_of_the_host(scores: Tensor) -> Tensor:
    return scores + torch.randn(
        scores.shape, generator=torch.Generator().manual_seed(0), device=scores.device
    )


def through_numpy(scores: Tensor) -> Tensor:
    assert scores.detach().numpy() is not None
    return scores


def test_a_matrix_on_the_host_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, by_host_matrix)
    with Simulation() as simulation:
        measured(simulation)
        assert any(what == "mm" for what, _ in simulation.counts.mixes)


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (with_noise_of_the_host, RuntimeError, "for generator but found 'cpu'"),
        (through_numpy, TypeError, "to numpy"),
    ],
)
def test_a_host_generator_and_numpy_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[Tensor], Tensor],
    error: type[Exception],
    message: str,
) -> None:
    plant(monkeypatch, mistake)
    with Simulation() as simulation, pytest.raises(error, match=message):
        measured(simulation)
    assert simulation.counts.mixes


def test_a_value_read_at_every_step_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Linear(6, 3), torch.randn(2, 6)

    def waits() -> float:
        with Simulation() as simulation:
            here = copy.deepcopy(model).to(DEVICE)
            return simulation.per_step(
                lambda steps: horizontal_path(
                    here, x, x + 1, step_size=1e-4, max_steps=steps, progress=False
                )
            ).waits

    before = waits()

    def reading(scores: Tensor) -> Tensor:
        assert scores.detach().sum().item() is not None
        return scores

    plant(monkeypatch, reading)
    assert waits() == before + 1
