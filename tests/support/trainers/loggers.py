"""Kinds of configurations, log folders and loggers."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from tests.support.trainers.checks import train
from tests.support.trainers.kinds import Lit, Report, Training, kind, pairs


class ListConfig(Sequence[Any]):
    """A sequence that is no list, like those of OmegaConf."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


@kind(
    "Logging",
    "sequences of Hydra and OmegaConf, tuples and ranges instead of lists",
    Report(
        "Lightning-AI/pytorch-lightning #2270",
        "a classifier of MNIST that is configured by Hydra",
        "switched off, or error at the start",
    ),
    Report("Lightning-AI/pytorch-lightning #2137", "the same", "the same"),
    Report("Lightning-AI/pytorch-lightning PR #20186", "plugins from Hydra", "the same"),
)
def other_sequences(root: Path) -> None:
    listed, other = (
        [
            LocalDataMatrixMonitor(sequence(0, 1, 2), 1, sequence("entropy"), on_error="raise"),
            HorizontalPathSnapshot(
                sequence("epoch", "fit_end"),
                pairs=sequence(sequence(0, 1), sequence(2, 4)),
                domain=sequence(-2.0, 2.0),
                max_steps=2,
                on_error="raise",
            ),
            OrthogonalWalkSnapshot(starts=sequence(0, 1), max_steps=2, on_error="raise"),
        ]
        for sequence in (lambda *items: list(items), ListConfig)
    )
    for callbacks in (listed, other):
        train(Training(Lit(), pairs()), root, *callbacks)
    assert other[0].history["step"] == listed[0].history["step"] == [0, 1]
    for index in (1, 2):
        found = [record.source_index for record in other[index].last_snapshot.paths]
        assert found == [record.source_index for record in listed[index].last_snapshot.paths]
    assert len(found) == 2


@kind(
    "Logging",
    "log folders at remote addresses (`s3://`, `gs://`)",
    note="`save_files=True` writes there too.",
)
def remote_folders(root: Path) -> None:
    here = Path.cwd()
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    try:
        logger = TensorBoardLogger("memory://bucket/leaf", name="run")
        path = HorizontalPathSnapshot("fit_end", pairs=1, max_steps=1, save_files=True)
        options = {"logger": logger, "default_root_dir": str(root)}
        assert train(Training(Lit(), pairs(), options=options), root, path) == []
        remote = fsspec.filesystem("memory").find("/bucket/leaf")
        assert sum(name.endswith("path-0.npz") for name in remote) == 1
        assert not [file for file in root.rglob("*") if "memory:" in str(file)]
    finally:
        os.chdir(here)


@kind("Logging", "`CSVLogger`", note="Rows contain the epoch.")
def csv_logger(root: Path) -> None:
    logger = CSVLogger(root, name="run")
    monitor = LocalDataMatrixMonitor(4, every_n_steps=1, on_error="raise")
    train(Training(Lit(), pairs(), options={"logger": logger, "max_steps": 2}), root, monitor)
    logger.save()
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        measured = [row for row in csv.DictReader(file) if row.get("leaf/trace_mean")]
    assert [row["step"] for row in measured] == ["0", "1", "2"]
    assert all(row["epoch"] == "0" for row in measured[:2])


class Pictures(CSVLogger):
    """A logger with Lightning's ``log_image``, like those for Weights & Biases and MLflow."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shown: list[Any] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None, **_: Any) -> None:
        self.shown.append((key, len(images), step))


@kind(
    "Logging",
    "loggers with pictures: TensorBoard, Weights & Biases, MLflow, Comet, Neptune",
    Report(
        "mllam/neural-lam #76",
        "weather models that are logged with MLflow",
        "no pictures",
    ),
    Report("pyannote/pyannote-audio PR #1209", "speaker segmentation with MLflow", "no pictures"),
    Report("wandb/wandb #3215", "pictures with `log_image`", "pictures"),
    Report("lightly-ai/lightly-train PR #736", "pictures for three loggers", "pictures for two"),
    note="Without one of them, snapshots are written to files, whose place the log names.",
)
def pictures(root: Path) -> None:
    for kind_of_logger in (Pictures, CSVLogger):
        logger = kind_of_logger(root, name=kind_of_logger.__name__)
        path = HorizontalPathSnapshot("fit_end", pairs=1, max_steps=1, on_error="raise")
        train(Training(Lit(), pairs(), options={"logger": logger}), root, path)
        if isinstance(logger, Pictures):
            ((key, count, step),) = logger.shown
            assert "horizontal_path" in key
            assert (count, step) == (1, 1)
        else:
            assert list(root.rglob("path-0.npz"))
