"""What a monitor logs: the values of a measurement, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lightning_leaf.callbacks.notices import inform
from lightning_leaf.geometry.matrix_free.data_matrix import EXACT_CLASSES
from lightning_leaf.model.quiet import random_streams
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


@dataclass(frozen=True)
class MeasurementLog:
    """Logs the measurements of a monitor.

    Attributes:
        monitor: The monitor in messages.
        name: Prefix of the logged names.
    """

    monitor: str
    name: str

    def report_estimates(self, classes: int) -> None:
        """Report that the values are estimates, and why."""
        inform(
            f"{self.monitor}: the classifier has {classes} classes, more than {EXACT_CLASSES}, "
            f"so {self.name}/trace_* are estimates with a standard error, effective ranks are "
            f"computed from the largest eigenvalues, and {self.name}/tangent_dimension is not "
            "logged. Pass exact=True to use all classes."
        )

    def report_averaged(self) -> None:
        """Report under which names the values of averaged weights are logged."""
        inform(
            f"{self.monitor}: the averaged weights are measured at the end of the fit. "
            f"They are logged as {self.name}_averaged/…, apart from the curve of the weights "
            "that were trained."
        )

    def log(
        self,
        row: Mapping[str, float],
        step: int,
        trainer: Trainer,
        processes: Processes,
        *,
        averaged: bool,
    ) -> None:
        """Send a measurement to all loggers, and to ``trainer.callback_metrics``.

        All processes must call this method.

        Args:
            row: The values, by column name.
            step: Number of optimizer steps taken.
            trainer: The trainer.
            processes: The processes of the training.
            averaged: Whether averaged weights were measured.
        """
        prefix = f"{self.name}_averaged" if averaged else self.name
        metrics = {f"{prefix}/{column}": value for column, value in row.items()}
        with random_streams():  # a logger may draw random numbers
            processes.all_gather(lambda: trainer_state.log_metrics(trainer, metrics, step))
        trainer.callback_metrics.update(
            {name: torch.tensor(value) for name, value in metrics.items()}
        )
