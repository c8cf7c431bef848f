"""A folder of measurements resumes, rejects other tables, and contains only complete files."""

from __future__ import annotations

import builtins
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lightning_leaf import LeafError
from lightning_leaf.predict import LeafPredictor, MeasurementWriter, read_measurements
from lightning_leaf.predict.parts import METADATA_KEY
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict.measuring import (
    BATCH,
    INPUTS,
    QUIET,
    Counted,
    classifier,
    data,
    part_at,
    rows_of,
    write,
)

pytestmark = [
    *ignore_lightning,
    # When no input is left to measure.
    pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero"),
]


def names(folder: Path) -> list[str]:
    """Return the names in a folder, without that of the lock."""
    return sorted(file.name for file in folder.iterdir() if file.name != ".lock")


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that an uninterrupted run writes."""
    folder = tmp_path_factory.mktemp("complete") / "new" / "folder"
    write(folder)
    return folder


def test_folder_contains_the_predicted_rows(complete: Path) -> None:
    table = read_measurements(complete)
    assert table.to_pydict() == rows_of(LeafPredictor(classifier()), data())
    traces = read_measurements(complete, ["trace"])
    assert traces.to_pydict() == table.select(["index", "trace"]).to_pydict()
    # 75 rows in batches of 8, one file for at least 20 rows.
    starts = [0, 24, 48, 72]
    parts = [part_at(complete, start).name for start in starts]
    assert names(complete) == ["measurement.json", *parts]


def test_every_file_contains_the_settings(complete: Path) -> None:
    settings = json.loads(read_measurements(complete).schema.metadata[METADATA_KEY])
    assert settings == json.loads((complete / "measurement.json").read_text())
    assert settings["schema_version"] == 2
    assert settings["task"] == "inputs"
    assert settings["ranks"] == ["entropy"]
    assert settings["inputs"] == INPUTS
    assert len(settings["checkpoint"]) == 64


def test_complete_folder_stays_unchanged(complete: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in complete.iterdir()}
    write(complete)
    assert {file: file.stat().st_mtime_ns for file in complete.iterdir()} == before


def test_only_missing_inputs_are_measured(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    write(tmp_path, LeafPredictor(first))
    before = read_measurements(tmp_path)
    part_at(tmp_path, 24).unlink()
    write(tmp_path, LeafPredictor(second))
    assert read_measurements(tmp_path).equals(before)
    # The scores of the first batch are judged, and a few inputs check the model in each batch.
    checked = (first.count() - BATCH - INPUTS) // 10
    assert 0 < checked < 5
    assert second.count() == BATCH + 24 + checked * 3


def test_killed_run_resumes_bitwise(tmp_path: Path, complete: Path) -> None:
    done = _in_another_process(tmp_path, "kill")
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    # The incomplete file is ignored, and the next run removes it.
    (temporary,) = (name for name in names(tmp_path) if name.endswith(".tmp"))
    assert temporary.startswith(".part-000000000024")
    assert read_measurements(tmp_path)["index"].to_pylist() == list(range(24))
    write(tmp_path)
    assert not any(name.endswith(".tmp") for name in names(tmp_path))
    assert read_measurements(tmp_path).equals(read_measurements(complete), check_metadata=True)


def test_last_digits_depend_on_the_batch_size(tmp_path: Path) -> None:
    """Batches must stay the same, because the other inputs of a batch affect the rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 300), nn.Tanh(), nn.Linear(300, 7))
    traces = [rows_of(LeafPredictor(model), data(), size)["trace"] for size in (1, 5, 32)]
    assert traces[0] == pytest.approx(traces[2], rel=1e-4)
    assert traces[0] != traces[2] or traces[1] != traces[2]


def test_terminated_run_writes_its_rows(tmp_path: Path) -> None:
    done = _in_another_process(tmp_path, "terminate")
    assert done.returncode == 1
    assert "Interrupted" in done.stderr
    # The process received SIGTERM in the third batch.
    assert read_measurements(tmp_path)["index"].to_pylist() == list(range(2 * BATCH))


def _in_another_process(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.predict.killed", str(folder), how]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"predictor": LeafPredictor(classifier(1))}, "checkpoint was '"),
        ({"predictor": LeafPredictor(classifier(), ranks=["stable"])}, r"ranks was \['entropy'\]"),
        ({"predictor": LeafPredictor(classifier(), eigenvalues=3)}, "eigenvalues was 16 and is 3"),
        ({"dataset": data(inputs=INPUTS - 1)}, f"inputs was {INPUTS} and is {INPUTS - 1}"),
        ({"batch_size": 5}, "batch_size was 8 and is 5"),
        ({"precision": "bf16-true"}, "precision was '32-true' and is 'bf16-true'"),
    ],
)
def test_folder_of_another_table_raises_and_stays_unchanged(
    complete: Path, changed: dict[str, Any], message: str
) -> None:
    before = {file: file.read_bytes() for file in complete.iterdir()}
    with pytest.raises(LeafError, match=message) as raised:
        write(complete, **changed)
    assert "Nothing was changed. Choose another folder" in str(raised.value)
    assert {file: file.read_bytes() for file in complete.iterdir()} == before


def test_settings_of_a_folder_without_rows_are_replaced(tmp_path: Path) -> None:
    """An error in the first batch, such as a wrong argument, can be corrected."""
    write(tmp_path, limit_predict_batches=0)
    assert names(tmp_path) == ["measurement.json"]
    write(tmp_path, LeafPredictor(classifier(), ranks=["stable"]), limit_predict_batches=1)
    assert "effective_rank_stable" in read_measurements(tmp_path).column_names


def test_rows_per_file_may_differ_after_resuming(tmp_path: Path, complete: Path) -> None:
    write(tmp_path, limit_predict_batches=4)
    assert read_measurements(tmp_path).num_rows == 4 * BATCH
    write(tmp_path, rows_per_file=1000)
    assert read_measurements(tmp_path).equals(read_measurements(complete))


def test_files_are_written_after_seconds_per_file(tmp_path: Path) -> None:
    writer = MeasurementWriter(tmp_path, seconds_per_file=0)
    trainer = L.Trainer(callbacks=[writer], **QUIET)
    loader = writer.remaining(DataLoader(data(), BATCH))
    trainer.predict(LeafPredictor(classifier()), loader, return_predictions=False)
    assert len(list(tmp_path.glob("part-*.parquet"))) == 10


def test_error_while_predicting_loses_no_rows(tmp_path: Path, complete: Path) -> None:
    class Failing(LeafPredictor):
        def measure(self, classifier: Any, batch: Any, indices: list[int], chunk_size: int) -> Any:
            if 40 in indices:
                raise OSError("the network file system is gone")
            return super().measure(classifier, batch, indices, chunk_size)

    with pytest.raises(OSError, match="network file system"):
        write(tmp_path, Failing(classifier()))
    assert read_measurements(tmp_path).num_rows == 40
    write(tmp_path)
    assert read_measurements(tmp_path).equals(read_measurements(complete))


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """Make the system reject larger files, as it does when a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk_raises_and_leaves_no_incomplete_file(tmp_path: Path, complete: Path) -> None:
    write(tmp_path, limit_predict_batches=4, rows_per_file=1)
    before = names(tmp_path)
    with (
        _no_file_larger_than(3000),
        pytest.raises(
            LeafError, match=r"Cannot write .*part-0+32.*\(File too large\).*Free some disk"
        ),
    ):
        write(tmp_path)
    assert names(tmp_path) == before
    assert part_at(complete, 0).stat().st_size > 3000
    write(tmp_path)
    assert read_measurements(tmp_path).equals(read_measurements(complete))


def test_folder_that_cannot_be_created_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LeafError, match="Cannot write"):
        write(tmp_path / "file" / "folder")


def test_folder_on_a_remote_file_system_raises(tmp_path: Path) -> None:
    with pytest.raises(LeafError, match="mounted file system; got 's3://bucket/measured'"):
        MeasurementWriter("s3://bucket/measured")
    assert MeasurementWriter(f"file://{tmp_path}")._folder.path == tmp_path


def test_error_names_the_damaged_file(tmp_path: Path) -> None:
    write(tmp_path)
    part = part_at(tmp_path, 24)
    part.write_bytes(part.read_bytes()[:-30])
    for attempt in (write, read_measurements):
        with pytest.raises(LeafError, match=r"Expected .*part-000000000024-.* Delete the file"):
            attempt(tmp_path)
    part.unlink()
    write(tmp_path)
    assert read_measurements(tmp_path).num_rows == INPUTS


def test_folder_without_table_or_settings_raises(tmp_path: Path) -> None:
    with pytest.raises(LeafError, match="it contains none"):
        read_measurements(tmp_path)
    write(tmp_path)
    (tmp_path / "measurement.json").write_text("{")
    with pytest.raises(LeafError, match="cannot be read"):
        write(tmp_path)
    (tmp_path / "measurement.json").unlink()
    with pytest.raises(LeafError, match=r"no measurement\.json"):
        write(tmp_path)


class Plain(L.LightningModule):
    def forward(self, x: Any) -> Any:
        return x


def test_loader_that_remaining_did_not_return_raises(tmp_path: Path) -> None:
    predictor, loader = LeafPredictor(classifier()), DataLoader(data(), BATCH)
    writer = MeasurementWriter(tmp_path)
    trainer = L.Trainer(callbacks=[writer], **QUIET)
    with pytest.raises(LeafError, match=r"writer.remaining\(dataloader\)"):
        trainer.predict(predictor, loader)
    writer.remaining(loader)
    with pytest.raises(LeafError, match="skips inputs that are measured already"):
        trainer.predict(predictor, loader)
    with pytest.raises(LeafError, match="no batch_size"):
        writer.remaining(DataLoader(data(), batch_size=None))
    with pytest.raises(LeafError, match="LeafPredictor or PathPredictor"):
        trainer.predict(Plain(), loader)


def test_missing_pyarrow_raises_with_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original_import = builtins.__import__

    def without_pyarrow(name: str, *arguments: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return original_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    for attempt in (MeasurementWriter, read_measurements):
        with pytest.raises(ModuleNotFoundError, match=r'pip install "lightning-leaf\[measure\]"'):
            attempt(tmp_path)
    # Measuring without a folder does not need pyarrow.
    assert len(rows_of(LeafPredictor(classifier()), data())["index"]) == INPUTS


class Exhausted(nn.Module):
    """A classifier that raises StopIteration in its third batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = classifier()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if float(x.detach().flatten()[0]) == float(data()[2 * BATCH][0].flatten()[0]):
            next(iter([]))
        scores: torch.Tensor = self.inner(x)
        return scores


class ExhaustedData(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return INPUTS

    def __getitem__(self, index: int) -> Any:
        return next(iter([])) if index == 2 * BATCH else data()[index]


@pytest.mark.parametrize(("model", "dataset"), [(Exhausted, data), (classifier, ExhaustedData)])
def test_stop_iteration_is_an_error(tmp_path: Path, model: Any, dataset: Any) -> None:
    """Lightning takes it for the end of the data, and running again would never end."""
    with pytest.raises((LeafError, RuntimeError), match="StopIteration"):
        write(tmp_path, LeafPredictor(model()), dataset())
    assert read_measurements(tmp_path).num_rows == 2 * BATCH
