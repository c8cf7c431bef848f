"""A checkpoint of any content, and any file in its place, gives a measurement or one error."""

from __future__ import annotations

import math
import os
import random
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lightning_leaf import LeafError
from lightning_leaf.cli import main
from lightning_leaf.cli.checkpoints import read_checkpoint
from lightning_leaf.cli.classifiers import load_classifier
from lightning_leaf.predict.lock import RunLock
from lightning_leaf.predict.parts import METADATA_KEY
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict import project
from tests.support.predict.checkpoints import (
    archive,
    nested_list,
    nested_value,
    records_of,
    with_pickle,
)
from tests.support.predict.hostile import damaged, named_by_checksum

pytestmark = [
    *ignore_lightning,
    pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero"),
]
EXAMPLES = int(os.environ.get("LEAF_EXAMPLES", 1))
WEIGHTS = project.plain().state_dict()

Measure = Callable[..., tuple[int, str]]


@pytest.fixture
def measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Measure:
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(file: Path | str, **options: str) -> tuple[int, str]:
        """Run the command; return its status and its error."""
        given = {
            "checkpoint": str(file),
            "model": f"{project.__name__}.plain",
            "data": f"{project.__name__}.few",
            "out": str(tmp_path / "out"),
            "accelerator": "cpu",
        } | options
        status = main(["measure", *(f"--{name}={value}" for name, value in given.items())])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        errors = [line for line in printed.err.splitlines() if line.startswith("lightning-leaf")]
        assert len(errors) == status
        assert status or "mean trace" in printed.out
        error = "".join(errors)
        assert error.isprintable()
        assert len(error) < 4000
        return status, error

    return run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": [1]}, "it contains a dict with the keys state_dict"),
        ({"state_dict": {}}, "it contains a dict with the keys state_dict"),
        ({"state_dict": {1: torch.ones(2)}}, "it contains a dict"),
        ({1: torch.ones(2), "a": 3, (2, None): 4}, "it contains a dict with the keys (2, None)"),
        ({"state_dict": WEIGHTS | {"1.bias": "text"}}, "the weights of"),
        ({"state_dict": WEIGHTS | {"1.bias": None}}, "the weights of"),
        ({"state_dict": WEIGHTS | {"1.bias": torch.ones(10, device="meta")}}, "the weights of"),
        ({"state_dict": WEIGHTS | {"1.bias": torch.ones(1).expand(10**12)}}, "different shapes"),
        ({"state_dict": WEIGHTS | {"x" * 10**6: torch.ones(1)}}, "unexpected keys"),
        ({"state_dict": WEIGHTS | {"\x1b[2J\n\u202e": torch.ones(1)}}, "unexpected keys"),
        ({"state_dict": WEIGHTS, "hyper_parameters": [1]}, "to be a dict with names of arguments"),
        ({"state_dict": WEIGHTS, "hyper_parameters": "width"}, "got 'width'"),
        ({"state_dict": WEIGHTS, "hyper_parameters": torch.ones(3)}, "got tensor("),
        ({"state_dict": WEIGHTS, "hyper_parameters": {1: 2}}, "got {1: 2}"),
        ({"state_dict": WEIGHTS, "hyper_parameters": 0}, "got 0"),
        ("text", "it contains an object of type str"),
        (None, "it contains an object of type NoneType"),
    ],
    ids=range(17),
)
def test_other_contents_are_one_error(
    measure: Measure, tmp_path: Path, content: Any, message: str
) -> None:
    torch.save(content, tmp_path / "odd.ckpt")
    status, error = measure(tmp_path / "odd.ckpt")
    assert status == 1
    assert message in error


@pytest.mark.parametrize(
    "step",
    [
        10**400, 2**63, -1, True, float("nan"), float("inf"), "8", None, [8], {"a": 1},
        torch.tensor(8), torch.tensor([1, 2]),
    ],
    ids=str,
)  # fmt: skip
def test_unusable_step_is_unknown(tmp_path: Path, step: Any) -> None:
    file = tmp_path / "odd.ckpt"
    torch.save({"state_dict": WEIGHTS, "global_step": step}, file)
    assert read_checkpoint(file).step is None
    torch.save({"state_dict": WEIGHTS, "global_step": 8}, file)
    assert read_checkpoint(file).step == 8


def test_checkpoint_of_an_unknown_step_is_measured(measure: Measure, tmp_path: Path) -> None:
    file = tmp_path / "odd.ckpt"
    torch.save({"state_dict": WEIGHTS, "global_step": 10**400, "hyper_parameters": None}, file)
    assert measure(file) == (0, "")


@pytest.mark.parametrize(
    "write",
    [
        lambda file: with_pickle(file, nested_list(100_000)),
        lambda file: with_pickle(file, nested_value("state_dict", 100_000)),
        lambda file: with_pickle(file, nested_value("hyper_parameters", 100_000)),
        lambda file: with_pickle(file, b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."),
        lambda file: with_pickle(file, b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b"."),
        lambda file: with_pickle(file, b""),
        lambda file: with_pickle(file, b"\x80\xff."),
        lambda file: with_pickle(file, b"cos\nsystem\n(S'true'\ntR."),
        lambda file: archive(file, {}),
        lambda file: archive(file, {"data.pkl": nested_list(1)}),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"PK\x03\x04"),
        lambda file: file.write_bytes(b"PK\x05\x06" + bytes(18)),
        lambda file: file.write_bytes(b"\x80\x02" + bytes(100)),
        lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
        lambda file: file.write_bytes(b"{}"),
        lambda file: file.write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."),
    ],
    ids=range(17),
)
def test_malformed_files_are_one_error(
    measure: Measure, tmp_path: Path, write: Callable[[Path], Any]
) -> None:
    write(tmp_path / "odd.ckpt")
    status, error = measure(tmp_path / "odd.ckpt")
    assert status == 1
    assert "Expected" in error
    assert "odd.ckpt" in error


def test_archive_that_expands_is_rejected(measure: Measure, tmp_path: Path) -> None:
    file = tmp_path / "odd.ckpt"
    records = records_of({"state_dict": {"a": torch.zeros(2**24)}}, file)
    archive(file, records, compressed=True)
    assert file.stat().st_size < 200_000
    assert "compressed or overlapping records" in measure(file)[1]
    # Negative control: torch reads it.
    assert torch.load(file)["state_dict"]["a"].shape == (2**24,)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket", "dangling link"])
def test_other_kinds_of_files_are_one_error(measure: Measure, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "odd.ckpt"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(file))
    else:
        file.symlink_to("/dev/zero" if kind == "device" else "/nowhere")
    expected = "does not exist" if kind == "dangling link" else "is not a regular file"
    assert measure(file) == (1, f"lightning-leaf measure: --checkpoint expects existing files; "
                                f"{file} {expected}.")  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint": "x" * 300},
        {"checkpoint": "x/" * 3000},
        {"checkpoint": "a\0b"},
        {"out": "x" * 300},
        {"out": "/dev/null/x"},
        {"out": "a\0b"},
        {"out": "out\udcff\0"},
        {"model": "x" * 10**5},
        {"model": "__main__.x"},
        {"model": "a..b"},
        {"model": "x." * 5000 + "y"},
        {"data": "tests.\x1b[2J"},
        {"forward": "\0"},
        {"batch": "nowhere.function"},
    ],
    ids=range(14),
)
def test_unusable_arguments_are_one_error(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    torch.save(WEIGHTS, tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    assert measure("weights.pt", **options)[0] == 1


@pytest.mark.parametrize("name", ["limit", "batch-size", "devices"])
@pytest.mark.parametrize("number", ["9" * 401, "9" * 100_000, "-1", "1e3", "٣٣٣٣٣٣٣٣٣٣٣", ""])
def test_extreme_numbers_are_rejected(
    measure: Measure, capsys: pytest.CaptureFixture[str], name: str, number: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        measure("weights.pt", **{name: number})
    printed = capsys.readouterr().err
    assert "expected a whole number from 1 to" in printed
    assert len(printed) < 3000


@pytest.mark.parametrize("name", ["x" * 252, "ä" * 126, "\udcff" * 20])
def test_long_and_undecodable_names_are_measured(
    measure: Measure, tmp_path: Path, name: str
) -> None:
    torch.save(WEIGHTS, file := tmp_path / f"{name}.pt")
    assert measure(file) == (0, "")


def test_older_format_of_checkpoints_is_measured(measure: Measure, tmp_path: Path) -> None:
    file = tmp_path / "old.pt"
    torch.save(WEIGHTS, file, _use_new_zipfile_serialization=False)
    assert measure(file) == (0, "")


@pytest.mark.parametrize("number", [1e308, 5e-324, math.inf, math.nan])
def test_extreme_numbers_in_a_table_are_summarized(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: float
) -> None:
    files = [tmp_path / "one.pt", tmp_path / "two.pt"]
    for file in files:
        torch.save(WEIGHTS, file)
    arguments = [
        "measure", "--checkpoint", *map(str, files), f"--model={project.__name__}.plain",
        f"--data={project.__name__}.few", f"--out={tmp_path / 'out'}", "--accelerator=cpu",
    ]  # fmt: skip
    assert main(arguments) == 0
    for part in (tmp_path / "out").rglob("part-*"):
        table = pq.read_table(part)
        part.unlink()
        for name in ("trace", "effective_rank_entropy"):
            position = table.column_names.index(name)
            table = table.set_column(position, name, pa.array([number, None, -number]))
        named_by_checksum(part.parent, 0, table)
    assert main(arguments) == 0
    assert "mean trace" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["png", "folder", "of another program", "of another table"])
def test_foreign_parts_are_one_error(measure: Measure, tmp_path: Path, kind: str) -> None:
    torch.save(WEIGHTS, file := tmp_path / "weights.pt")
    assert measure(file)[0] == 0
    (folder,) = (tmp_path / "out").glob("weights-*")
    table = pq.read_table(next(folder.glob("part-*")))
    part = folder / "part-000000000001.parquet"
    if kind == "png":
        part.write_bytes(b"\x89PNG")
    elif kind == "folder":
        part.mkdir()
    elif kind == "of another program":
        pq.write_table(pa.table({"a": [1]}), part := folder / "part-0-c000.snappy.parquet")
    else:
        metadata = {METADATA_KEY: table.schema.metadata[METADATA_KEY].replace(b"inputs", b"input")}
        pq.write_table(table.replace_schema_metadata(metadata), part)
    status, error = measure(file)
    assert status == 1
    assert f"Expected {part} to be a part of the table" in error


def test_folder_that_another_run_measures_is_one_error(measure: Measure, tmp_path: Path) -> None:
    torch.save(WEIGHTS, file := tmp_path / "weights.pt")
    assert measure(file)[0] == 0
    (folder,) = (tmp_path / "out").glob("weights-*")
    next(folder.glob("part-*")).unlink()
    lock = RunLock(folder)
    assert lock.acquire()
    assert "is being measured by process" in measure(file)[1]
    lock.release()
    assert measure(file)[0] == 0


def test_settings_of_another_kind_are_one_error(measure: Measure, tmp_path: Path) -> None:
    torch.save(WEIGHTS, file := tmp_path / "weights.pt")
    assert measure(file)[0] == 0
    (folder,) = (tmp_path / "out").glob("weights-*")
    (folder / "measurement.json").unlink()
    (folder / "measurement.json").mkdir()
    assert "measurement.json to contain the settings" in measure(file)[1]


def test_random_damage_is_one_error_or_none(tmp_path: Path) -> None:
    generator, file = random.Random(0), tmp_path / "odd.ckpt"
    torch.save({"state_dict": WEIGHTS, "hyper_parameters": {"a": 1}, "global_step": 3}, file)
    original, read = file.read_bytes(), 0
    start = original.index(b"\x80\x02")
    stop = original.index(b"PK", start)
    for _ in range(400 * EXAMPLES):
        if generator.random() < 0.5:  # in the pickle
            pickle = damaged(original[start:stop], generator)
            content = original[:start] + pickle[: stop - start] + original[stop:]
        else:
            content = damaged(original, generator)
        file.write_bytes(content)
        with suppress(LeafError):
            load_classifier(read_checkpoint(file), project.plain, "plain")
            read += 1
    assert 0 < read < 300 * EXAMPLES
