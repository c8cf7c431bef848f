"""Write the rows of every process into one folder of Parquet files, so that runs can resume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_leaf._arguments import whole_number
from lightning_leaf.errors import LeafError
from lightning_leaf.predict.blocks import RemainingBlocks, remaining_loader
from lightning_leaf.predict.columns import Columns, ColumnTypes
from lightning_leaf.predict.fingerprint import fingerprint
from lightning_leaf.predict.folder import MeasurementFolder
from lightning_leaf.predict.identity import data_settings
from lightning_leaf.predict.lock import RunLock
from lightning_leaf.predict.predictor import Predictor
from lightning_leaf.predict.settings import SCHEMA_VERSION, Settings

ROWS_PER_FILE = 8192
"""For ten classes about one megabyte; eight million inputs take a thousand files."""
SECONDS_PER_FILE = 60.0
"""Largest time between two files: a killed process loses at most the work of this time."""


class MeasurementWriter(BasePredictionWriter):
    """Callback that writes the rows of a predictor into a folder, from any number of processes.

    Each process writes Parquet files of its own. A file appears under its name when it is
    complete. The file ``measurement.json`` contains the settings of the table.

    Interrupted runs resume: run again with the same folder to measure only the missing inputs, with
    the same or another number of processes. Batches are always the same. The table is therefore
    bitwise that of an uninterrupted run, on similar machines with the same number of threads. An
    error is raised before the first measurement if the folder contains a table of other settings,
    another checkpoint, another batch size or other data. Functions are identified by name only. A
    checkpoint is identified by its weights, buffers and hyper-parameters; data by their number,
    pairs, and first, middle and last example, unless a random transform changes these.

    One run writes to a folder at a time: a second run raises an error before its first measurement.
    On file systems without locks both runs write, and the rows of the first file are used. A file
    of the table is never replaced. Its name contains a checksum, so that damaged files are errors.

    On several nodes, the folder must be on a file system that all nodes share. Processes wait for
    each other at the start and at the end and exchange nothing in between: n processes need the
    time of N / n inputs, plus at most one batch. A row takes about 70 + 8 · min(C, 16) bytes before
    compression. One million inputs of ten classes take 150 MB in about 120 files, because each
    process writes a file every 8192 rows or every minute. One thousand processes thus create fewer
    than twenty files per second, and the number of files is what limits a parallel file system.

    Args:
        folder: The folder to write to, created if it does not exist.
        rows_per_file: Number of rows after which a file is written.
        seconds_per_file: Seconds after which a file is written at the end of a batch, even if it
            has fewer rows. A killed process loses at most the work of this time.

    Raises:
        LeafError: If an argument is out of its range.
        ModuleNotFoundError: If pyarrow is not installed; the message gives the command that
            installs it.

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
        self._lock = RunLock(self._folder.path)
        self._rows_per_file = whole_number(rows_per_file, "rows_per_file")
        if not seconds_per_file >= 0:
            raise LeafError(
                f"seconds_per_file expects a number of at least 0; got {seconds_per_file!r}."
            )
        self._seconds_per_file = seconds_per_file
        self._loader: DataLoader[Any] | None = None
        self._is_complete = False
        self._settings = Settings({})
        self._column_types: ColumnTypes = {}
        self._unwritten: Columns = {}
        self._written_at = 0.0
        self._batches = 0

    def remaining(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        """Return a loader of the inputs that are not in the folder yet, for ``trainer.predict``.

        Call it in every process before ``trainer.predict``, as a script does.

        Args:
            loader: A loader of the whole data set, which must be map-style. The order and the
                sampler of the loader are not used.

        Raises:
            LeafError: If the loader has no batch size, or its data set no positions or no examples,
                or if the folder contains a file that cannot be read.
        """
        remaining = remaining_loader(loader, self._folder.measured())
        self._loader = loader
        self._is_complete = len(remaining) == 0
        return remaining

    def require(self, predictor: Predictor, precision: str = "32-true") -> None:
        """Check that the folder contains the table of a predictor, without measuring anything.

        Args:
            predictor: The predictor that measures the rows.
            precision: The precision of the trainer, to which weights and inputs may be rounded.

        Raises:
            LeafError: If the folder contains another table or none, or :meth:`remaining` was not
                called.
        """
        data = data_settings(self._whole_loader())
        self._folder.require(self._settings_of(predictor, precision, data))

    def _whole_loader(self) -> DataLoader[Any]:
        if self._loader is None:
            raise LeafError(
                "MeasurementWriter expects the loader that writer.remaining(dataloader) returns; "
                "got another loader. Call trainer.predict(predictor, writer.remaining(dataloader))."
            )
        return self._loader

    def _settings_of(
        self, predictor: Predictor, precision: str, data: dict[str, str | None]
    ) -> Settings:
        loader = self._whole_loader()
        return Settings(
            {
                "schema_version": SCHEMA_VERSION,
                **predictor.settings,
                "inputs": len(loader.dataset),  # type: ignore[arg-type]
                "batch_size": loader.batch_size,
                "precision": precision,
                "checkpoint": fingerprint(predictor.classifier),
                **data,
            }
        )

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if not isinstance(pl_module, Predictor):
            raise LeafError(
                "MeasurementWriter expects a LeafPredictor or PathPredictor in trainer.predict; "
                f"got {type(pl_module).__name__}. Call "
                "trainer.predict(LeafPredictor(model), writer.remaining(dataloader))."
            )
        self._column_types = pl_module.column_types
        # One process reads examples, locks and opens the folder for all, so that either all of them
        # begin or none.
        loader = self._whole_loader()
        data = trainer.strategy.broadcast(data_settings(loader) if trainer.is_global_zero else {})
        self._settings = self._settings_of(pl_module, str(trainer.precision), data)
        problem, settings = trainer.strategy.broadcast(
            (self._open_for_all(trainer), self._settings)
        )
        if problem:
            raise LeafError(problem)
        if self._settings != settings:
            raise LeafError(
                "MeasurementWriter expects the same settings, checkpoint and data in all "
                f"processes; in process 0, {settings.differences(self._settings)} in process "
                f"{trainer.global_rank}. Load the same checkpoint in all processes."
            )
        self._unwritten, self._written_at, self._batches = {}, time.monotonic(), 0

    def _open_for_all(self, trainer: Trainer) -> str:
        """Lock and open the folder in the first process; return the error or an empty text."""
        if not trainer.is_global_zero:
            return ""
        try:
            if self._is_complete:  # it may be in a folder that this process cannot write to
                self._folder.require(self._settings)
                return ""
            is_locked = self._lock.acquire()
            self._folder.open(self._settings)
            if is_locked:
                self._folder.remove_unfinished()
        except LeafError as error:
            self._lock.release()
            return str(error)
        return ""

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sampler = getattr(trainer.predict_dataloaders, "batch_sampler", None)
        if not isinstance(getattr(sampler, "sampler", None), RemainingBlocks):
            raise LeafError(
                "MeasurementWriter expects the loader that writer.remaining(dataloader) returns, "
                "because it skips inputs that are measured already; got another loader. Call "
                "trainer.predict(predictor, writer.remaining(dataloader))."
            )

    @override
    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Columns,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self._batches += 1
        for name, values in prediction.items():
            self._unwritten.setdefault(name, []).extend(values)
        is_due = time.monotonic() - self._written_at >= self._seconds_per_file
        if is_due or len(self._unwritten["index"]) >= self._rows_per_file:
            self._write()

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write()
        expected = sum(trainer.num_predict_batches)
        if self._batches < expected:
            # Lightning takes it for the end of the data.
            raise LeafError(
                f"Expected {expected:,} batches; the loop ended after {self._batches:,}. The model "
                "or the data set raised StopIteration, for example by next() of an iterator that "
                "is exhausted. Correct it, and run again with the same folder to measure the rest."
            )

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        try:
            self._write()  # rows measured before the error are kept
        finally:
            self._lock.release()

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # After trainer.predict, the folder contains the rows of all processes.
        trainer.strategy.barrier("lightning_leaf: all written")
        self._lock.release()

    def _write(self) -> None:
        # Cleared first, so that on_exception does not retry rows that could not be written.
        columns, self._unwritten = self._unwritten, {}
        self._written_at = time.monotonic()
        if columns:
            self._folder.add(columns, self._column_types, self._settings)
