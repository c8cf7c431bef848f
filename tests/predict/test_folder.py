"""A folder of measurements is gone on with, refused, and never left half written."""

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
from lightning_leaf.predict.folder import METADATA_KEY
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict.measuring import (
    BATCH,
    INPUTS,
    QUIET,
    Counted,
    Tally,
    classifier,
    data,
    rows_of,
    write,
)

pytestmark = [
    *ignore_lightning,
    # Where nothing is left to be measured.
    pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero"),
]


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted run writes."""
    folder = tmp_path_factory.mktemp("whole") / "new" / "folder"
    write(folder)
    return folder


def test_the_folder_holds_the_rows_that_are_predicted(whole: Path) -> None:
    table = read_measurements(whole)
    assert table.to_pydict() == rows_of(LeafPredictor(classifier()), data())
    traces = read_measurements(whole, ["trace"])
    assert traces.to_pydict() == table.select(["index", "trace"]).to_pydict()
    # 75 rows in batches of 8, a file whenever 20 are there.
    starts = [0, 24, 48, 72]
    parts = [f"part-{start:012d}.parquet" for start in starts]
    assert names(whole) == ["measurement.json", *parts]


def test_every_file_says_what_it_is_of(whole: Path) -> None:
    told = json.loads(read_measurements(whole).schema.metadata[METADATA_KEY])
    assert told == json.loads((whole / "measurement.json").read_text())
    assert told["schema_version"] == 1
    assert (told["task"], told["ranks"], told["inputs"]) == ("inputs", ["entropy"], INPUTS)
    assert len(told["checkpoint"]) == 64


def test_a_complete_folder_is_left_alone(whole: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.iterdir()}
    write(whole)
    assert {file: file.stat().st_mtime_ns for file in whole.iterdir()} == before


def test_only_what_is_missing_is_measured(tmp_path: Path) -> None:
    everything, rest = Tally(), Tally()
    write(tmp_path, LeafPredictor(Counted(everything)))
    before = read_measurements(tmp_path)
    (tmp_path / "part-000000000024.parquet").unlink()
    write(tmp_path, LeafPredictor(Counted(rest)))
    assert read_measurements(tmp_path).equals(before)
    # Some more inputs of each batch, by which the core asks what the model is and whether usable.
    more = (everything.count - INPUTS) // 10
    assert 0 < more < 5
    assert rest.count == 24 + more * 3


def test_a_killed_run_is_gone_on_with_bitwise(tmp_path: Path, whole: Path) -> None:
    done = _in_another_process(tmp_path, "kill")
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    # Killed in the middle of a file, which does not count …
    (temporary,) = (name for name in names(tmp_path) if name.endswith(".tmp"))
    assert temporary.startswith(".part-000000000024")
    assert read_measurements(tmp_path)["index"].to_pylist() == list(range(24))
    # … and is gone after the next run.
    write(tmp_path)
    assert not any(name.endswith(".tmp") for name in names(tmp_path))
    assert read_measurements(tmp_path).equals(read_measurements(whole), check_metadata=True)


def test_batches_cut_otherwise_could_differ_in_their_last_digits(tmp_path: Path) -> None:
    """Why a batch is always the same one: what else is in it decides the rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 300), nn.Tanh(), nn.Linear(300, 7))
    cut = [rows_of(LeafPredictor(model), data(), size)["trace"] for size in (1, 5, 32)]
    assert cut[0] == pytest.approx(cut[2], rel=1e-4)
    assert cut[0] != cut[2] or cut[1] != cut[2]


def test_a_run_that_is_told_to_end_writes_what_it_has(tmp_path: Path) -> None:
    done = _in_another_process(tmp_path, "terminate")
    assert done.returncode == 1
    assert "Interrupted" in done.stderr
    indices = read_measurements(tmp_path)["index"].to_pylist()
    assert indices == list(range(len(indices)))
    assert 0 < len(indices) < INPUTS
    assert len(indices) % BATCH == 0


def _in_another_process(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.predict.killed", str(folder), how]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"predictor": LeafPredictor(classifier(1))}, "checkpoint was '"),
        ({"predictor": LeafPredictor(classifier(), ranks=["stable"])}, r"ranks was \['entropy'\]"),
        ({"predictor": LeafPredictor(classifier(), eigenvalues=3)}, "eigenvalues was 16 and is 3"),
        ({"dataset": data(inputs=INPUTS - 1)}, f"inputs was {INPUTS} and is {INPUTS - 1}"),
        ({"batch_size": 5}, "batch_size was 8 and is 5"),
        ({"precision": "bf16-true"}, "precision was '32-true' and is 'bf16-true'"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_alone(
    whole: Path, changed: dict[str, Any], said: str
) -> None:
    before = {file: file.read_bytes() for file in whole.iterdir()}
    with pytest.raises(LeafError, match=said) as refused:
        write(whole, **changed)
    assert "Nothing was changed. Give another folder" in str(refused.value)
    assert {file: file.read_bytes() for file in whole.iterdir()} == before


def test_the_number_of_rows_per_file_may_change(tmp_path: Path, whole: Path) -> None:
    write(tmp_path, limit_predict_batches=4)
    assert read_measurements(tmp_path).num_rows == 4 * BATCH
    write(tmp_path, rows_per_file=1000)
    assert read_measurements(tmp_path).equals(read_measurements(whole))


def test_a_file_is_written_in_time_however_few_rows_there_are(tmp_path: Path) -> None:
    writer = MeasurementWriter(tmp_path, seconds_per_file=0)
    trainer = L.Trainer(callbacks=[writer], **QUIET)
    loader = writer.remaining(DataLoader(data(), BATCH))
    trainer.predict(LeafPredictor(classifier()), loader, return_predictions=False)
    assert len(list(tmp_path.glob("part-*.parquet"))) == 10


def test_an_error_in_the_middle_loses_nothing(tmp_path: Path, whole: Path) -> None:
    class Failing(LeafPredictor):
        def measure(self, classifier: Any, batch: Any, indices: list[int], chunk_size: int) -> Any:
            if 40 in indices:
                raise OSError("the network file system is gone")
            return super().measure(classifier, batch, indices, chunk_size)

    with pytest.raises(OSError, match="network file system"):
        write(tmp_path, Failing(classifier()))
    assert read_measurements(tmp_path).num_rows == 40
    write(tmp_path)
    assert read_measurements(tmp_path).equals(read_measurements(whole))


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses to write more, as it does where a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_ends_with_a_clear_error_and_no_half_file(tmp_path: Path, whole: Path) -> None:
    write(tmp_path, limit_predict_batches=4, rows_per_file=1)
    before = names(tmp_path)
    with (
        _no_file_larger_than(3000),
        pytest.raises(LeafError, match=r"Cannot write .*part-0+32.*\(File too large\).*make room"),
    ):
        write(tmp_path)
    assert names(tmp_path) == before
    assert (whole / "part-000000000000.parquet").stat().st_size > 3000
    write(tmp_path)
    assert read_measurements(tmp_path).equals(read_measurements(whole))


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LeafError, match="Cannot write"):
        write(tmp_path / "file" / "folder")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    part = tmp_path / "part-000000000024.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    for attempt in (write, read_measurements):
        with pytest.raises(LeafError, match=r"part-000000000024.parquet is expected .* Delete it"):
            attempt(tmp_path)
    part.unlink()
    write(tmp_path)
    assert read_measurements(tmp_path).num_rows == INPUTS


def test_rows_that_are_there_twice_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    part = tmp_path / "part-000000000024.parquet"
    (tmp_path / "part-000000000025.parquet").write_bytes(part.read_bytes())
    with pytest.raises(LeafError, match="input 24 has more"):
        read_measurements(tmp_path)


def test_an_unknown_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeafError, match="it holds none"):
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


def test_a_loader_that_would_measure_twice_is_refused(tmp_path: Path) -> None:
    predictor, loader = LeafPredictor(classifier()), DataLoader(data(), BATCH)
    writer = MeasurementWriter(tmp_path)
    trainer = L.Trainer(callbacks=[writer], **QUIET)
    with pytest.raises(LeafError, match=r"writer.remaining\(dataloader\)"):
        trainer.predict(predictor, loader)
    writer.remaining(loader)
    with pytest.raises(LeafError, match="got another one"):
        trainer.predict(predictor, loader)
    with pytest.raises(LeafError, match="no batch_size"):
        writer.remaining(DataLoader(data(), batch_size=None))
    with pytest.raises(LeafError, match="LeafPredictor or PathPredictor"):
        trainer.predict(Plain(), loader)


def test_a_missing_pyarrow_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = builtins.__import__

    def without_pyarrow(name: str, *arguments: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return really(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    for attempt in (MeasurementWriter, read_measurements):
        with pytest.raises(ModuleNotFoundError, match=r'pip install "lightning-leaf\[measure\]"'):
            attempt(tmp_path)
    # Rows without a folder do not need it.
    assert len(rows_of(LeafPredictor(classifier()), data())["index"]) == INPUTS
