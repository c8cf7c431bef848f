"""Scores that change in ways that autograd does not find are refused or reported."""

import logging

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix, local_geometry

SEED = 0


class Branches(nn.Module):
    """Two branches, which a function combines to scores."""

    def __init__(self, combine) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        self.two = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        self.bias = nn.Parameter(torch.zeros(1))
        self.combine = combine

    def forward(self, x):
        return self.combine(self, x)


def made(combine):
    torch.manual_seed(SEED)
    return Branches(combine), torch.randn(6, 12)


ONE_CLASS_CUT = {
    "detach": lambda m, x: torch.cat([m.one(x), m.two(x)[:, :1].detach()], 1),
    "numpy": lambda m, x: torch.cat(
        [m.one(x), torch.from_numpy(m.two(x)[:, :1].detach().numpy())], 1
    ),
    "data": lambda m, x: torch.cat([m.one(x), m.two(x)[:, :1].data], 1),
}
PARTLY_CUT = {
    "sum": lambda m, x: m.one(x) + 3 * m.two(x).detach(),
    "input": lambda m, x: m.one(x + m.two(x.detach()).repeat(1, 4)) + 3 * m.two(x.detach()),
}
RIGHT = {
    "a shift": lambda m, x: m.one(x) - m.one(x).amax(1, keepdim=True).detach(),
    "not used": lambda m, x: (m.two(x).detach(), m.one(x))[1],
    "constant class": lambda m, x: torch.cat([m.one(x), m.bias.detach().expand(len(x), 1)], 1),
    "inactive class": lambda m, x: torch.cat(
        [m.one(x), (m.two(x)[:, :1].detach() - 1e3).relu()], 1
    ),
    "numbers": lambda m, x: m.one(x) * float(x.numel() > int(x.shape[0])),
}


@pytest.mark.parametrize("name", ONE_CLASS_CUT)
def test_a_class_without_derivatives_that_changes_raises_an_error(name):
    model, x = made(ONE_CLASS_CUT[name])
    for measure in (LocalDataMatrix.at, local_geometry):
        with pytest.raises(LeafError, match=r"scores change.*some of their derivatives are zero"):
            measure(model, x)


@pytest.mark.parametrize("name", PARTLY_CUT)
def test_derivatives_of_a_part_are_reported_once(name, caplog):
    model, x = made(PARTLY_CUT[name])
    with caplog.at_level(logging.WARNING, "lightning_leaf"):
        LocalDataMatrix.at(model, x)
        LocalDataMatrix.at(model, x)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "Branches" in message
    assert ".detach()" in message


@pytest.mark.parametrize("name", RIGHT)
def test_complete_derivatives_are_not_reported(name, caplog):
    """Negative control: the same operations where they change no derivative."""
    model, x = made(RIGHT[name])
    with caplog.at_level(logging.WARNING, "lightning_leaf"):
        assert (LocalDataMatrix.at(model, x).trace() > 0).all()
    assert caplog.records == []
