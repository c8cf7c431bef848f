"""Kinds of precision: types of parameters, buffers and intermediate results."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.trainers.kinds import Lit, Training, kind, pairs, rows


class Prior(Lit):
    """Class frequencies, counted with NumPy, are added to the logits."""

    prior: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prior", torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + self.prior.log()  # type: ignore[no-any-return]


@kind("Precision", "float64 buffers beside float32 weights")
def float64_buffer(root: Path) -> Training:
    return Training(Prior(), pairs())


class HalfBackbone(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 3))
        self.backbone = nn.Linear(12, 8).bfloat16().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.backbone(x.to(torch.bfloat16)).float())  # type: ignore[no-any-return]


def in_float64(module: Any) -> Any:
    copied = copy.deepcopy(module).double()
    return lambda x: copied.net(copied.backbone(x))


@kind(
    "Precision",
    "a frozen half-precision backbone before a float32 head; casts in `forward`",
    note="Half-precision parts are measured on float32 copies; explicit casts to half precision "
    "round the values, here to three digits.",
)
def half_backbone(root: Path) -> Training:
    return Training(HalfBackbone(), pairs(), copied=in_float64, tolerance=2e-2)


class OwnType(Lit):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(self.dtype))  # type: ignore[no-any-return]


def plain_double(module: Any) -> Any:
    return copy.deepcopy(module.net).double()


@kind("Precision", '`precision="bf16-true"`, also with `x.to(self.dtype)` in `forward`')
def half_module(root: Path) -> Training:
    return Training(
        OwnType(),
        pairs(),
        copied=plain_double,
        options={"precision": "bf16-true"},
        # Hidden casts to the type of the module round its inputs.
        tolerance=2e-2,
    )


@kind("Precision", 'mixed precision (`"bf16-mixed"`, `"16-mixed"`)')
def mixed_precision(root: Path) -> Training:
    return Training(Lit(), pairs(), options={"precision": "bf16-mixed"})


@kind("Precision", 'float64 modules (`precision="64-true"`)')
def double_module(root: Path) -> Training:
    return Training(Lit(), pairs(), options={"precision": "64-true"})


class Autocast(Lit):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.net(x)
        return hidden.float()  # type: ignore[no-any-return]


@kind(
    "Precision",
    "`torch.autocast` inside of `forward`",
    note="It is part of the model and stays enabled; values are right to three digits.",
)
def autocast_inside(root: Path) -> Training:
    return Training(Autocast(), pairs(), copied=plain_double, tolerance=2e-2)


class OfHalves(Lit):
    """Half-precision weights, cast to float32 in forward."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 3).bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(self.net.weight.dtype)).float()  # type: ignore[no-any-return]


@kind("Precision", "`x.to(self.net.weight.dtype)` with half-precision weights")
def type_of_weights(root: Path) -> Training:
    assert rows().dtype == torch.float32
    return Training(OfHalves(), pairs(), copied=plain_double, tolerance=2e-2)
