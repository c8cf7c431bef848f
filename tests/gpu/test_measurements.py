"""Measurements and paths on an accelerator: the CPU's values, no mixing of devices, few waits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import (
    LocalDataMatrix,
    LocalDataMatrixEffectiveRank,
    LocalDataMatrixTrace,
    MatrixFreeDataMatrix,
    PathStatus,
    horizontal_path,
    local_geometry,
    orthogonal_walk,
)
from lightning_leaf.model.classifier import measuring
from tests.benchmarks.models import PAPER_CNN
from tests.gpu.simulated_device import DEVICE, Simulation
from tests.support.agreement import relative
from tests.support.cases import image_cnn

CNN = (1, 10, 10)


class Counting(nn.Module):
    """A model with a buffer that every forward pass changes, and noise in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = image_cnn()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        scores: Tensor = self.net(x)
        return scores


def one_logit() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(100, 8), nn.Tanh(), nn.Linear(8, 1))


MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "convolutions": (image_cnn, {}),
    "labels": (image_cnn, {"likelihood": "bernoulli"}),
    "binary": (one_logit, {}),
    "float64": (lambda: image_cnn().double(), {}),
    "bfloat16": (lambda: image_cnn().bfloat16(), {}),
    "a buffer that changes": (Counting, {}),
}
cases = pytest.mark.parametrize(("build", "options"), MODELS.values(), ids=MODELS.keys())


def made(
    build: Callable[[], nn.Module], device: torch.device, count: int = 4
) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a model on the device, the same on the CPU, and inputs on the CPU."""
    torch.manual_seed(0)
    model = build()
    return copy.deepcopy(model).to(device), model, torch.randn(count, *CNN)


def agree(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> bool:
    """Return whether a tensor on an accelerator has nearly the values of one on the CPU."""
    assert one.device.type != "cpu", "results of a measurement are on the device of the model"
    return bool(torch.allclose(one.cpu().double(), other.double(), rtol=tolerance))


@cases
def test_matrix(
    accelerator: torch.device, build: Callable[[], nn.Module], options: dict[str, Any]
) -> None:
    here, model, x = made(build, accelerator)
    one, other = (LocalDataMatrix.at(each, x, **options) for each in (here, model))
    assert agree(one.trace(), other.trace())
    assert relative(one.eigenvalues().cpu(), other.eigenvalues()) < 1e-4
    assert relative(one.project(x.to(accelerator)).cpu(), other.project(x).double()) < 1e-4
    assert relative(one.pushforward(x.to(accelerator)).cpu(), other.pushforward(x)) < 1e-4
    assert one.tangent_dimension().tolist() == other.tangent_dimension().tolist()
    # A buffer keeps its value.
    assert all(
        torch.equal(each.cpu(), before)
        for each, before in zip(here.buffers(), model.buffers(), strict=True)
    )


@cases
def test_products(
    accelerator: torch.device, build: Callable[[], nn.Module], options: dict[str, Any]
) -> None:
    here, model, x = made(build, accelerator, 2)
    one, other = (MatrixFreeDataMatrix.at(each, x, **options) for each in (here, model))
    assert relative((one @ x.to(accelerator)).cpu(), (other @ x).double()) < 1e-4
    assert agree(one.trace_estimate(4).value, other.trace_estimate(4).value, 1e-4)
    assert relative(one.spectrum(1).eigenvalues.cpu(), other.spectrum(1).eigenvalues) < 1e-4
    one_projection = one.projection(x.to(accelerator), rtol=1e-3).projection
    assert relative(one_projection.cpu(), other.projection(x, rtol=1e-3).projection) < 1e-3


def test_inputs_with_nan(accelerator: torch.device) -> None:
    here, model, x = made(image_cnn, accelerator)
    x[1] = torch.nan
    one, other = local_geometry(here, x), local_geometry(model, x)
    assert one.finite.tolist() == other.finite.tolist() == [True, False, True, True]
    assert torch.allclose(one.trace, other.trace, rtol=1e-4, equal_nan=True)


def test_metrics(accelerator: torch.device) -> None:
    here, model, x = made(image_cnn, accelerator)
    for metric in (LocalDataMatrixTrace, LocalDataMatrixEffectiveRank):
        one, other = metric().to(accelerator), metric()
        for part in x.split(2):
            one.update(here, part.to(accelerator))
            other.update(model, part)
        assert agree(one.compute(), other.compute())


PATHS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "horizontal": (horizontal_path, {}),
    "horizontal, in chunks": (horizontal_path, {"chunk_size": 1}),
    "horizontal, in a domain": (horizontal_path, {"domain": (-6.0, 6.0)}),
    "horizontal, top classes": (horizontal_path, {"top_classes": 3}),
    "horizontal, by products": (horizontal_path, {"rtol": 1e-2}),
    "horizontal, labels": (horizontal_path, {"likelihood": "bernoulli"}),
    "orthogonal": (orthogonal_walk, {}),
    "orthogonal, in a domain": (orthogonal_walk, {"domain": (-6.0, 6.0)}),
    "orthogonal, top classes": (orthogonal_walk, {"top_classes": 3}),
    "orthogonal, by products": (orthogonal_walk, {"rtol": 1e-2}),
}


@pytest.mark.parametrize(("walk", "options"), PATHS.values(), ids=PATHS.keys())
def test_paths(
    accelerator: torch.device, walk: Callable[..., Any], options: dict[str, Any]
) -> None:
    here, model, x = made(image_cnn, accelerator, 2)
    ends = (x.flip(0) + 1,) if walk is horizontal_path else ()
    one, other = (
        walk(each, x, *ends, max_steps=3, progress=False, **options) for each in (here, model)
    )
    for mine, theirs in zip(one, other, strict=True):
        assert mine.status == theirs.status
        assert mine.steps == theirs.steps
        assert mine.points.device.type == "cpu"
        assert torch.allclose(mine.points, theirs.points, atol=1e-4)
        assert torch.allclose(mine.log_probs, theirs.log_probs, atol=1e-4)


def test_a_path_that_meets_nan(accelerator: torch.device) -> None:
    here, model, x = made(image_cnn, accelerator, 2)
    x[0] = 0.5

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        moved = (x[:, 0, 0, 0] != 0.5) & (x[:, 0, 0, 0] > 0)
        scores: Tensor = model(x)
        return torch.where(moved.unsqueeze(1) & (x[:, 0, 0, :1] < 1), torch.nan, scores)

    for options in ({}, {"rtol": 1e-2}):
        one, other = (
            horizontal_path(
                each, x, x.flip(0), max_steps=3, forward=forward, progress=False, **options
            )
            for each in (here, model)
        )
        assert [each.status for each in one] == [each.status for each in other]
        assert [each.steps for each in one] == [each.steps for each in other]
        assert PathStatus.NON_FINITE in [each.status for each in one]


def test_a_device_without_float64() -> None:
    """A device without float64 computes forward passes only; the rest happens on the host."""
    torch.manual_seed(0)
    model, x = image_cnn(), torch.randn(2, *CNN)
    with Simulation(float64=False) as simulation:
        metric = LocalDataMatrixTrace().to(DEVICE)  # its sums are float64
        here = copy.deepcopy(model).to(DEVICE)
        one, other = LocalDataMatrix.at(here, x), LocalDataMatrix.at(model, x)
        assert relative(one.trace().cpu().unsqueeze(1), other.trace().unsqueeze(1)) < 1e-5
        paths = [
            horizontal_path(each, x, x.flip(0), max_steps=2, progress=False)
            for each in (here, model)
        ]
        for mine, theirs in zip(*paths, strict=True):
            assert torch.allclose(mine.points, theirs.points, atol=1e-4)
        metric.update(model, x)
        assert metric.compute().cpu() > 0
    assert not simulation.counts.mixes


# Upper bounds on what one step costs on the paper's CNN: kernels, and waits for the device.
BOUNDS: dict[str, tuple[Callable[..., Any], dict[str, Any], int, float]] = {
    "horizontal": (horizontal_path, {}, 150, 0.5),
    "orthogonal": (orthogonal_walk, {}, 150, 0.5),
    "orthogonal, in a domain": (orthogonal_walk, {"domain": (-6.0, 6.0)}, 150, 0.5),
    "horizontal, by products": (horizontal_path, {"rtol": 1e-3}, 300, 2.0),
    "orthogonal, by products": (orthogonal_walk, {"rtol": 1e-3}, 300, 2.0),
}


@pytest.mark.parametrize(
    ("walk", "options", "kernels", "waits"), BOUNDS.values(), ids=BOUNDS.keys()
)
def test_cost_of_a_step(
    simulation: Simulation,
    walk: Callable[..., Any],
    options: dict[str, Any],
    kernels: int,
    waits: float,
) -> None:
    model, x = PAPER_CNN.model(DEVICE), PAPER_CNN.inputs("cpu", 2)
    ends: tuple[Tensor, ...] = ()
    if walk is horizontal_path:
        ends, options = (x.flip(0),), options | {"step_size": 1e-3, "threshold": 1e-6}
    found = simulation.per_step(
        lambda steps: walk(model, x, *ends, max_steps=steps, progress=False, **options)
    )
    assert found.waits <= waits, found.counts
    assert found.kernels <= kernels, found.counts


def test_cost_of_a_measurement(simulation: Simulation) -> None:
    """Most waits copy the weights and compare them; a forward pass has none."""
    model = PAPER_CNN.model(DEVICE)
    x = PAPER_CNN.inputs("cpu", 32)
    with simulation.counting() as counts:
        local_geometry(model, x)
    assert sum(counts.kernels.values()) <= 100, counts
    assert sum(counts.waits.values()) <= 16, counts
    with measuring(model) as classifier:
        inputs = classifier.prepare(x[:2])
        classifier.require_usable(inputs)
        with simulation.counting() as counts:
            classifier.scores(inputs)
    assert not counts.waits, counts
