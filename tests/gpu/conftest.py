"""Devices on which tests run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.gpu.simulated_device import DEVICE, Simulation

NEEDS_CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU if there is one: what can be wrong in a test is found on both."""
    return torch.device(request.param)


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    """The context of the simulated device, on which nothing may be mixed with the host."""
    with Simulation() as simulation:
        yield simulation
    assert not simulation.counts.mixes, simulation.counts


@pytest.fixture(params=["simulated", pytest.param("cuda", marks=NEEDS_CUDA)])
def accelerator(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The simulated device, and a GPU if there is one."""
    if request.param == "simulated":
        request.getfixturevalue("simulation")
        yield DEVICE
    else:
        yield torch.device("cuda", 0)
