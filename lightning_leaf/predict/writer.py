"""Rows of every process into one folder of Parquet files, so that a run can be gone on with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import DataLoader

from lightning_leaf.callbacks.base import checked_count
from lightning_leaf.errors import LeafError
from lightning_leaf.predict.blocks import RemainingBlocks, remaining_loader
from lightning_leaf.predict.columns import Rows
from lightning_leaf.predict.fingerprint import fingerprint
from lightning_leaf.predict.folder import MeasurementFolder
from lightning_leaf.predict.predictor import Predictor

ROWS_PER_FILE = 8192
"""About a megabyte for ten classes; a thousand files for eight million inputs."""
SECONDS_PER_FILE = 60.0
"""What is lost at most of the work of a process that is killed."""


class MeasurementWriter(BasePredictionWriter):
    """Writes what a predictor measures into a folder, from any number of processes.

    Every process writes Parquet files of its own, each of which appears whole or not at all; a
    file ``measurement.json`` says what they are of. Started again with the same folder, only the
    inputs that are not in it are measured, also by another number of processes: batches are always
    the same ones, so that the table is bitwise that of a run that was never interrupted, on like
    machines with as many threads. A folder of other settings, another checkpoint (a function is
    known by its name alone), another batch size or data of another length is refused before
    anything is measured.

    On many nodes the folder lies on a file system that all of them see. Processes wait for each
    other at the start and at the end and exchange nothing: with n of them the time is that of
    N / n inputs, and one batch where N does not divide. A row takes about 70 + 8 min(C, 16) bytes
    before compression; a million inputs of ten classes are 150 MB in some 120 files, one for
    every 8192 rows or minute of a process. A thousand processes thus make less than twenty files a
    second, which is what a parallel file system notices, not the bytes.

    Args:
        folder: Where to write; made if it is not there.
        rows_per_file: Rows after which a file is written.
        seconds_per_file: Seconds after which one is written however few rows there are, at the
            end of a batch: what is lost at most of a process that is killed.

    Raises:
        LeafError: If an argument is out of its range.
        ModuleNotFoundError: If pyarrow is not installed, with the command that installs it.

    Example:
        .. code-block:: python

            writer = MeasurementWriter("measured")
            trainer = L.Trainer(devices=8, num_nodes=4, callbacks=[writer])
            trainer.predict(
                LeafPredictor(model), writer.remaining(dataloader), return_predictions=False
            )
            table = read_measurements("measured").to_pandas()
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rows_per_file: int = ROWS_PER_FILE,
        seconds_per_file: float = SECONDS_PER_FILE,
    ) -> None:
        super().__init__("batch")
        self._folder = MeasurementFolder(folder)
        self._rows_per_file = checked_count(rows_per_file, "rows_per_file")
        if not seconds_per_file >= 0:
            raise LeafError(f"seconds_per_file expects a number ≥ 0; got {seconds_per_file!r}.")
        self._seconds_per_file = seconds_per_file
        self._data: dict[str, int] | None = None
        self._terms: dict[str, Any] = {}
        self._columns: dict[str, str] = {}
        self._rows: Rows = {}
        self._written_at = 0.0

    def remaining(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        """A loader of what is not in the folder yet, to be handed to ``trainer.predict``.

        Call it in every process, as scripts do, before ``trainer.predict``.

        Args:
            loader: Batches of a data set with positions; their order and sampler do not count.

        Raises:
            LeafError: If the loader does not make batches of one size out of positions, or the
                folder holds a file that cannot be read.
        """
        rest = remaining_loader(loader, self._folder.measured())
        assert rest.batch_size is not None
        self._data = {"inputs": len(loader.dataset), "batch_size": rest.batch_size}  # type: ignore[arg-type]
        return rest

    def open(self, predictor: Predictor, precision: str = "32-true") -> None:
        """Begin the table of a predictor in the folder, or go on with it.

        Args:
            predictor: What fills it.
            precision: The trainer's, which may round weights and inputs.

        Raises:
            LeafError: If the folder holds other measurements, or :meth:`remaining` was not called.
        """
        if self._data is None:
            raise LeafError(
                "MeasurementWriter expects to be asked which inputs are not measured yet: "
                "trainer.predict(predictor, writer.remaining(dataloader)); got another loader."
            )
        self._terms = {
            **predictor.settings,
            **self._data,
            "precision": precision,
            "checkpoint": fingerprint(predictor.classifier),
        }
        self._columns = predictor.columns
        self._folder.open(self._terms)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a folder that holds something else, before anything is measured.

        Raises:
            LeafError: See :meth:`open`; also if the module is no predictor of ours.
        """
        super().setup(trainer, pl_module, stage)
        if not isinstance(pl_module, Predictor):
            raise LeafError(
                "MeasurementWriter expects a LeafPredictor or PathPredictor in trainer.predict; "
                f"got {type(pl_module).__name__}."
            )
        self.open(pl_module, str(trainer.precision))
        if trainer.is_global_zero:
            self._folder.forget_unfinished()
        # Nobody writes before everybody has read the folder.
        trainer.strategy.barrier("lightning_leaf: folder read")
        self._rows, self._written_at = {}, time.monotonic()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse loaders that would measure again what is in the folder.

        Raises:
            LeafError: If the loader is not that of :meth:`remaining`.
        """
        sampler = getattr(trainer.predict_dataloaders, "batch_sampler", None)
        if not isinstance(getattr(sampler, "sampler", None), RemainingBlocks):
            raise LeafError(
                "MeasurementWriter expects the loader of writer.remaining(dataloader), which "
                "leaves out what is measured already; got another one."
            )

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Rows,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        for name, values in prediction.items():
            self._rows.setdefault(name, []).extend(values)
        waited = time.monotonic() - self._written_at >= self._seconds_per_file
        if waited or len(self._rows["index"]) >= self._rows_per_file:
            self._flush()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._flush()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._flush()  # what was measured before the error is not measured again

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Whoever reads the folder after trainer.predict finds the rows of all processes.
        trainer.strategy.barrier("lightning_leaf: all written")

    def _flush(self) -> None:
        # Let go of first: what could not be written once is not tried again on the way out.
        rows, self._rows = self._rows, {}
        self._written_at = time.monotonic()
        if rows:
            self._folder.add(rows, self._columns, self._terms)
