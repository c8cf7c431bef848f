"""Other data, hyper-parameters or buffers are another table; a table resumes only its own."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from lightning_leaf import LeafError
from lightning_leaf.predict import (
    LeafPredictor,
    MeasurementWriter,
    PairDataset,
    PathPredictor,
    read_measurements,
)
from lightning_leaf.predict.digests import DEEPEST, Digest
from lightning_leaf.predict.fingerprint import fingerprint
from lightning_leaf.predict.folder import MeasurementFolder
from lightning_leaf.predict.identity import data_settings
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict.measuring import BATCH, INPUTS, QUIET, classifier, data, pairs, write

pytestmark = [
    *ignore_lightning,
    pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero"),
]


def other_labels() -> Dataset[Any]:
    images, labels = data().tensors
    return TensorDataset(images, (labels + 1) % 5)


@pytest.mark.parametrize("batches", [2, None])
@pytest.mark.parametrize("other", [lambda: data(1), other_labels])
def test_other_data_are_another_table(
    tmp_path: Path, other: Callable[[], Dataset[Any]], batches: int | None
) -> None:
    write(tmp_path, limit_predict_batches=batches)
    before = read_measurements(tmp_path)
    with pytest.raises(LeafError, match=r"other measurements: data was '.*random transforms"):
        write(tmp_path, dataset=other())
    assert read_measurements(tmp_path).equals(before)
    write(tmp_path)
    MeasurementFolder(tmp_path).require_complete()


@pytest.mark.parametrize(
    "other",
    [
        pairs(1),  # other examples
        PairDataset(data(), [*pairs().pairs[:3], (1, 2), *pairs().pairs[4:]]),
        Subset(pairs(), [0, 2, 1, *range(3, 21)]),
    ],
    ids=["examples", "pairs", "order"],
)
def test_other_pairs_are_another_table(tmp_path: Path, other: Dataset[Any]) -> None:
    predictor = PathPredictor(classifier(), max_steps=2)
    write(tmp_path, predictor, pairs(), limit_predict_batches=1)
    with pytest.raises(LeafError, match=r"other measurements: (data|positions) was"):
        write(tmp_path, predictor, other)
    write(tmp_path, predictor, pairs())


class Source(Dataset[Any]):
    """Examples that a method returns, and the process that read each."""

    def __init__(self, read: Callable[[int], Any]) -> None:
        self.read = read
        self.opened_by: list[int] = []

    def __len__(self) -> int:
        return INPUTS

    def __getitem__(self, index: int) -> Any:
        self.opened_by.append(os.getpid())
        return self.read(index)


def image(index: int) -> Any:
    return data()[index]


def failing(index: int) -> Any:
    raise RuntimeError("no network")


def noise(index: int) -> Any:
    return torch.rand(1, 8, 8), 0


def flipped(index: int) -> Any:
    images, label = data()[index]
    return (images.flip(-1) if random.random() < 0.5 else images), label


def random_states() -> Any:
    numbers = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    return random.getstate(), numbers, torch.get_rng_state().tolist()


@pytest.mark.parametrize(
    ("read", "known"),
    [
        (image, True),
        (flipped, False),
        (noise, False),
        (failing, False),
    ],
)
def test_data_are_read_without_a_change_of_them(read: Callable[[int], Any], known: bool) -> None:
    """A file that the data set opens must not be shared by worker processes."""
    source = Source(read)
    torch.manual_seed(3)
    states = random_states()
    found = data_settings(DataLoader(source, BATCH))
    assert found == data_settings(DataLoader(source, 2 * BATCH))
    assert (found["data"] is not None) == known
    assert source.opened_by == []
    data_settings(DataLoader(data(), BATCH))  # tensors are read in this process
    assert random_states() == states


def test_random_data_resume(tmp_path: Path) -> None:
    write(tmp_path, dataset=Source(flipped), limit_predict_batches=1)
    write(tmp_path, dataset=Source(flipped))
    assert json.loads((tmp_path / "measurement.json").read_text())["data"] is None
    with pytest.raises(LeafError, match="data was None and is '"):
        write(tmp_path)


class Scaled(L.LightningModule):
    """A classifier on whose output a hyper-parameter and an unsaved buffer act."""

    def __init__(self, temperature: float, offset: float = 0.0, lr: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.inner = classifier()
        self.register_buffer("offset", torch.tensor(offset), persistent=False)


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module, state: Any = None) -> None:
        super().__init__()
        self.inner, self.state = inner, state

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


def test_hyper_parameters_and_unsaved_buffers_are_part_of_the_checkpoint() -> None:
    assert Scaled(1.0).state_dict().keys() == Scaled(2.0).state_dict().keys()
    made = [
        *(Scaled(1.0), Scaled(2.0), Scaled(1.0, 1.0), Wrapped(Scaled(1.0)), Wrapped(Scaled(2.0))),
        *(Scaled(1.0, lr={"a": [1]}), Scaled(1.0, lr={"a": [2]}), Scaled(1.0, lr=object())),
    ]
    assert len({fingerprint(each) for each in made}) == len(made)
    assert fingerprint(Scaled(1.0, lr=object())) == fingerprint(Scaled(1.0, lr=object()))


def extra_states() -> list[Any]:
    return [
        *(
            None,
            True,
            1,
            1.0,
            "1",
            b"1",
            10**5000,
            float("nan"),
            "\ud800",
            [1],
            [[1], []],
            [[1, []]],
        ),
        *({"b": torch.zeros(2), "a": 1}, {"b": torch.ones(2), "a": 1}, io.BytesIO(b"2")),
        *(np.ones(2), np.ones(2, np.float32), object(), torch.eye(2).to_sparse(), np.array([{}])),
    ]


def test_equal_states_have_equal_fingerprints_and_others_do_not() -> None:
    """Two lists of the same states, at other addresses."""
    first, second = (
        [fingerprint(Wrapped(classifier(), state)) for state in extra_states()] for _ in range(2)
    )
    assert first == second
    # The array of objects differs from the object by its type.
    assert len(set(first)) == len(first)


def test_digest_is_bounded() -> None:
    cyclic: list[Any] = []
    cyclic.extend([cyclic, cyclic])
    deep: Any = 1
    for _ in range(10 * DEEPEST):
        deep = {"a": deep}
    digest = Digest()
    digest.add([cyclic, deep])


def test_table_of_version_1_is_read_and_not_resumed(tmp_path: Path) -> None:
    write(tmp_path, limit_predict_batches=3)
    table = read_measurements(tmp_path)
    old = {"schema_version": 1, "task": "inputs", "ranks": ["entropy"], "eigenvalues": 16}
    rewrite(tmp_path, old | {"inputs": INPUTS, "batch_size": BATCH})
    assert read_measurements(tmp_path).to_pydict() == table.to_pydict()
    with pytest.raises(LeafError, match=r"an earlier version .* Measure into another folder"):
        write(tmp_path)


def rewrite(folder: Path, values: dict[str, Any]) -> None:
    """Give a table other settings."""
    import pyarrow.parquet as pq

    from lightning_leaf.predict.parts import METADATA_KEY
    from tests.support.predict.hostile import named_by_checksum

    settings = json.dumps(values)
    (folder / "measurement.json").write_text(settings)
    for part in folder.glob("part-*.parquet"):
        rows = pq.read_table(part)
        part.unlink()
        named_by_checksum(
            folder, 0, rows.replace_schema_metadata({METADATA_KEY: settings.encode()})
        )


def test_empty_data_set_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """It would have no rows to measure, and would therefore take no lock."""
    write(tmp_path, limit_predict_batches=0)
    before = (tmp_path / "measurement.json").read_text()
    with pytest.raises(LeafError, match="at least one example; got TensorDataset with 0"):
        write(tmp_path, dataset=data(inputs=0))
    assert (tmp_path / "measurement.json").read_text() == before


def test_complete_table_is_not_written_without_the_lock(tmp_path: Path) -> None:
    """Here another process empties the folder after the run has found a complete table."""
    write(tmp_path)
    writer = MeasurementWriter(tmp_path)
    loader = writer.remaining(DataLoader(data(), BATCH))
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(LeafError, match=r"no measurement\.json"):
        L.Trainer(callbacks=[writer], **QUIET).predict(LeafPredictor(classifier()), loader)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser can list every folder, so the system call is replaced."""
    write(tmp_path, limit_predict_batches=1)
    before = (tmp_path / "measurement.json").read_text()

    def denied(path: object = ".") -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", denied)
        patch.setattr(os, "scandir", denied)
        for attempt in (read_measurements, lambda f: write(f, LeafPredictor(classifier(1)))):
            with pytest.raises(LeafError, match=r"Cannot read the folder .*Permission denied"):
                attempt(tmp_path)
    assert (tmp_path / "measurement.json").read_text() == before


def test_folder_stays_the_same_when_the_current_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    writer = MeasurementWriter("table")
    loader = writer.remaining(DataLoader(data(), BATCH))
    monkeypatch.chdir("elsewhere")
    L.Trainer(callbacks=[writer], **QUIET).predict(LeafPredictor(classifier()), loader)
    assert read_measurements(tmp_path / "table").num_rows == INPUTS
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("folder", ["", "x.tmp"])
def test_unfinished_files_that_cannot_be_deleted_are_kept(tmp_path: Path, folder: str) -> None:
    unfinished = tmp_path / ".part-000000000000.tmp" / folder
    unfinished.mkdir(parents=True)
    write(tmp_path, limit_predict_batches=1)
    assert unfinished.exists()
