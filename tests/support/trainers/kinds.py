"""The table of supported models, data and loops: one row per kind, each with a training.

A row is a function with the decorator :func:`kind`. The tests run every row, and the page
"Supported models, data and loops" of the documentation lists them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Group = Literal["Models", "Forward", "Scores", "Data", "Precision", "Loops", "Logging"]


@dataclass(frozen=True)
class Report:
    """A public report about a comparable tool.

    Attributes:
        source: Repository and number.
        trains: What its author trains or measures.
        tried: What the version of lightning-leaf did with this kind on which it was first tried.
    """

    source: str
    trains: str
    tried: str


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        name: Name of the test case.
        group: Section of the page.
        what: What the user has.
        happens: What the callbacks do without further arguments.
        write: Arguments that make it work, if any are needed.
        refused: Pattern of the error without these arguments; None if it works.
        note: Another sentence for the page.
        reports: Public reports of this kind.
        make: Returns the training, or checks by itself and returns None.
    """

    name: str
    group: Group
    what: str
    happens: str
    write: str
    refused: str | None
    note: str
    reports: tuple[Report, ...]
    make: Callable[[Path], Training | None]


KINDS: list[Kind] = []


def kind(
    group: Group,
    what: str,
    *reports: Report,
    happens: str | None = None,
    write: str = "",
    refused: str | None = None,
    note: str = "",
) -> Callable[[Any], Any]:
    """Add a row to the table."""
    if happens is None:
        happens = "works" if refused is None else "error"

    def add(make: Callable[..., Training | None]) -> Any:
        name = make.__name__
        KINDS.append(Kind(name, group, what, happens, write, refused, note, reports, make))
        return make

    return add


@dataclass
class Training:
    """A training with the callbacks, and what they have to measure.

    Attributes:
        module: The module.
        data: Training data: a data set, or anything that a trainer iterates.
        oracle: The function of a float64 copy of the module and float64 inputs that is measured.
        validation: Validation data.
        inputs: The inputs at each position, as the oracle takes them. Default: those of the data
            set.
        positions: Positions of the probe in the data set; None if the callbacks choose inputs
            without positions.
        independent: Whether the scores are logits of independent labels.
        tolerance: Relative tolerance of the trace.
        options: Options of the trainer.
        names: Names that the arguments in the table use.
        copied: Returns the float64 copy of the module after the training.
    """

    module: L.LightningModule
    data: Any = None
    oracle: Callable[[Any, Tensor], Tensor] = lambda module, x: module(x)
    validation: Any = None
    inputs: Sequence[Tensor] | Tensor | None = None
    positions: tuple[int, ...] | None = (0, 1, 2, 3)
    independent: bool = False
    tolerance: float = 1e-4
    options: dict[str, Any] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    copied: Callable[[Any], Any] = lambda module: copy.deepcopy(module).double().eval()


class Lit(L.LightningModule):
    """A module around a network; subclasses are the kinds."""

    def __init__(self, net: nn.Module | None = None) -> None:
        super().__init__()
        self.net = nn.Linear(12, 3) if net is None else net

    def forward(self, x: Any) -> Any:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def rows(count: int = 24, seed: int = 0) -> Tensor:
    """Return rows of 12 features."""
    return torch.rand(count, 12, generator=torch.Generator().manual_seed(seed))


def images(channels: int = 1, size: int = 8, count: int = 24) -> Tensor:
    """Return images with pixels in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, size, size, generator=generator)


def labels(classes: int = 3, count: int = 24) -> Tensor:
    """Return labels in turn."""
    return torch.arange(count) % classes


def pairs(inputs: Tensor | None = None, targets: Tensor | None = None) -> TensorDataset:
    """Return a data set of inputs and labels."""
    inputs = rows() if inputs is None else inputs
    return TensorDataset(inputs, labels(count=len(inputs)) if targets is None else targets)


def loader(data: Any, batch_size: int = 4, **options: Any) -> DataLoader[Any]:
    """Return a loader of small batches."""
    return DataLoader(data, batch_size, **options)
