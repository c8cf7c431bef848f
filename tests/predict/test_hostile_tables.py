"""A damaged, foreign or hostile table is an error of one kind, and loses no row."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightning_leaf import LeafError
from lightning_leaf.predict import LeafPredictor, pages, parts, read_measurements
from lightning_leaf.predict.folder import MeasurementFolder
from lightning_leaf.predict.settings import Settings
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict.hostile import (
    COLUMNS,
    SETTINGS,
    damaged,
    deep_json,
    named_by_checksum,
    page,
    parquet_of,
    table_in,
    varint,
    with_changed_footer,
)
from tests.support.predict.measuring import INPUTS, classifier, part_at, write

pytestmark = [
    *ignore_lightning,
    pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero"),
]
EXAMPLES = int(os.environ.get("LEAF_EXAMPLES", 1))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    write(folder)
    return folder


@pytest.fixture
def copy(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of all files but the lock."""
    files = [file for file in folder.iterdir() if file.is_file() and file.name != ".lock"]
    return {file.name: file.read_bytes() for file in files}


def rejects_everywhere(folder: Path, message: str) -> None:
    """Check that reading, resuming and reporting fail, and that nothing is changed."""
    before = contents(folder)
    for attempt in (read_measurements, write, lambda f: MeasurementFolder(f).require_complete()):
        with pytest.raises(LeafError, match=message):
            attempt(folder)
    assert contents(folder) == before


def test_part_of_another_checkpoint_is_rejected(copy: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", LeafPredictor(classifier(1)))
    part_at(copy, 24).unlink()
    foreign = part_at(tmp_path / "other", 24)
    shutil.copy(foreign, copy)
    rejects_everywhere(copy, rf"{foreign.name}.*its checkpoint was '\w+' and is '\w+' in measure")
    (copy / foreign.name).unlink()
    write(copy)  # the inputs of the deleted part are measured again
    MeasurementFolder(copy).require_complete()


def test_part_without_settings_is_rejected(copy: Path) -> None:
    part = part_at(copy, 24)
    table = pq.read_table(part).replace_schema_metadata(None)
    part.unlink()
    named_by_checksum(copy, 24, table)
    rejects_everywhere(copy, "contains no settings of a measurement")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["label"]), r"expected column label \(int64\)"),
        (lambda t: t.append_column("more", t["label"]), "expected 10 columns, got 11"),
        (
            lambda t: t.set_column(3, "probability", t["label"]),
            r"expected column probability \(double\), got probability \(int64\)",
        ),
        (
            lambda t: t.set_column(0, "index", t["index"].cast(pa.float64())),
            r"expected column index \(int64\), got index \(double\)",
        ),
        (
            lambda t: t.set_column(1, "label", pa.array([{"a": 1}] * t.num_rows)),
            "expected column label",
        ),
        (lambda t: with_index(t, -1), "contains index -1, but the table has 75 inputs"),
        (lambda t: with_index(t, INPUTS), "contains index 75, but the table has 75 inputs"),
        (lambda t: with_index(t, 2**62), "but the table has 75 inputs"),
        (lambda t: with_index(t, 25), "contains index 25 more than once"),
        (lambda t: with_index(t, None), "a row has no index"),
        (
            lambda t: t.set_column(9, "status", pa.array(["\x1b[31m"] * t.num_rows)),
            "a status is none of",
        ),
    ],
)
def test_other_columns_and_indices_are_rejected(
    copy: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    part = part_at(copy, 24)
    table = pq.read_table(part)
    part.unlink()
    changed = change(table).replace_schema_metadata(table.schema.metadata)
    named_by_checksum(copy, 24, changed)
    rejects_everywhere(copy, message)


def with_index(table: pa.Table, index: int | None) -> pa.Table:
    """Return a table whose first row has another index."""
    values = [index, *table["index"].to_pylist()[1:]]
    return table.set_column(0, "index", pa.array(values, pa.int64()))


def test_missing_inputs_are_named(copy: Path) -> None:
    MeasurementFolder(copy).require_complete()
    part_at(copy, 24).unlink()
    part_at(copy, 72).unlink()
    with pytest.raises(LeafError, match=r"each of its 75 inputs; 27 are missing: 24–47, 72–74\."):
        MeasurementFolder(copy).require_complete()


def test_wrong_index_loses_no_row(copy: Path) -> None:
    """A wrong index leaves a block unmeasured; the next run adds a file and replaces none."""
    part = part_at(copy, 24)
    table = pq.read_table(part)
    part.unlink()
    named_by_checksum(copy, 24, with_index(table, 3).replace_schema_metadata(table.schema.metadata))
    before = contents(copy)
    write(copy)
    assert before.items() <= contents(copy).items()
    MeasurementFolder(copy).require_complete()
    with pytest.warns(UserWarning, match="contains 8 rows of inputs that have a row already"):
        assert read_measurements(copy)["index"].to_pylist() == list(range(INPUTS))


def test_every_flipped_bit_is_found(copy: Path) -> None:
    part, generator = part_at(copy, 24), random.Random(0)
    original, settings = part.read_bytes(), MeasurementFolder(copy).settings()
    assert settings is not None
    expected = parts.read_part(part, settings)
    for _ in range(600 * EXAMPLES):
        position = generator.randrange(8 * len(original))
        flipped = bytearray(original)
        flipped[position // 8] ^= 1 << position % 8
        part.write_bytes(flipped)
        with pytest.raises(LeafError, match="it is damaged"):
            parts.read_part(part, settings)
    part.write_bytes(original)
    assert parts.read_part(part, settings).equals(expected)


def test_page_checksums_are_written_and_verified(copy: Path) -> None:
    """Other programs verify them; here a part without a checksum in its name shows it."""
    part = part_at(copy, 24)
    unnamed = copy / "part-000000000024.parquet"
    part.rename(unnamed)
    assert read_measurements(copy).num_rows == INPUTS  # older files have no checksum
    column = pq.ParquetFile(unnamed).metadata.row_group(0).column(0)
    content = bytearray(unnamed.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 3] ^= 1
    unnamed.write_bytes(content)
    rejects_everywhere(copy, "could not verify page integrity, CRC checksum verification failed")


def test_part_of_another_name_is_rejected(copy: Path) -> None:
    part = part_at(copy, 24)
    part.rename(copy / "part-24 (1).parquet")
    rejects_everywhere(copy, "its name is not part-<first position>-<checksum>.parquet")


def test_existing_file_is_not_replaced(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if its content is not what its name says."""
    part = part_at(copy, 24)
    settings = MeasurementFolder(copy).settings()
    assert settings is not None
    types = settings.column_types
    columns = {name: pq.read_table(part)[name].to_pylist() for name in types}
    assert parts.write_part(copy, columns, types, settings) == part  # the same content
    part.write_bytes(b"precious")
    with pytest.raises(LeafError, match="the checksum in its name; it is damaged"):
        parts.write_part(copy, columns, types, settings)
    assert part.read_bytes() == b"precious"
    # Negative control: without the check the file is replaced.
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    parts.write_part(copy, columns, types, settings)
    assert part.read_bytes() != b"precious"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b"\xff\xfe\x00",
        b'\xef\xbb\xbf{"task": "inputs"}',
        b'{"schema_version": NaN, "inputs": -Infinity}',
        b'{"inputs": 75, "inputs": 76}',
        b'{"schema_version": 3, "inputs": 75}',
        b'{"schema_version": 1, "task": [], "ranks": [{}], "likelihood": {}, "inputs": true}',
        b'{"inputs": ' + b"9" * 5000 + b"}",
        deep_json(100_000),
        deep_json(900),
        b'{"\\ud800": "\\udfff", "inputs": 75}',
        b'{"a": "' + b"x" * 2**20 + b'"}',
        b" " * (9 * 2**20),
    ],
    ids=range(16),
)
def test_other_settings_are_rejected(copy: Path, content: bytes) -> None:
    (copy / "measurement.json").write_bytes(content)
    rejects_everywhere(copy, ".")
    with pytest.raises(LeafError) as raised:
        read_measurements(copy)
    assert len(str(raised.value)) < 3000


@pytest.mark.parametrize(
    "name",
    [
        "measurement.json",
        "part-000000000096.parquet",
        f"part-000000000096-{'0' * 32}.parquet",  # a checksum is that of the whole file
    ],
)
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "dangling link"])
def test_other_kinds_of_files_are_rejected(copy: Path, name: str, kind: str) -> None:
    file = copy / name
    file.unlink(missing_ok=True)
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if kind == "device" else "/nowhere")
    rejects_everywhere(copy, "measurement|part-")


def test_small_file_of_many_values_is_rejected(tmp_path: Path) -> None:
    """Run lengths and dictionaries make gigabytes out of a small file."""
    rows = 2_000_000
    constant = {name: pa.nulls(rows, kind) for name, kind in COLUMNS.items()}
    constant["status"] = pa.repeat("ok", rows)
    table_in(tmp_path, constant, inputs=rows)
    with pytest.raises(LeafError, match="cannot contain 2,000,000 rows"):
        read_measurements(tmp_path)
    long_lists = {name: pa.nulls(1, kind) for name, kind in COLUMNS.items()} | {
        "index": pa.array([0]),
        "status": pa.array(["ok"]),
        "eigenvalues": pa.array([np.zeros(20_000_000)]),
    }
    (tmp_path / "lists").mkdir()
    part = table_in(tmp_path / "lists", long_lists, inputs=1)
    assert part.stat().st_size < 20_000
    with pytest.raises(LeafError, match="column eigenvalues cannot contain 20,000,0"):
        read_measurements(tmp_path / "lists")
    # Its own settings allow it, but the file is small.
    (tmp_path / "settings").mkdir()
    table_in(tmp_path / "settings", long_lists, inputs=1, eigenvalues=2**62)
    with pytest.raises(LeafError, match=r"a file of [\d,]+ bytes cannot contain [\d,]+ bytes of v"):
        read_measurements(tmp_path / "settings")


def test_pages_may_not_declare_more_than_the_footer(tmp_path: Path) -> None:
    """The footer is changed; pyarrow allocates what the pages declare."""
    rows = {name: pa.nulls(1, kind) for name, kind in COLUMNS.items()} | {
        "index": pa.array([0]),
        "status": pa.array(["ok"]),
        "eigenvalues": pa.array([np.zeros(20_000_000)]),
    }
    part = table_in(tmp_path, rows, inputs=1)
    content = part.read_bytes()
    part.unlink()
    footer = int.from_bytes(content[-8:-4], "little")
    head, tail = content[: -8 - footer], content[-8 - footer :]
    changed = head + tail.replace(varint(20_000_000), varint(1, 4))
    part = tmp_path / "part-000000000000.parquet"
    part.write_bytes(changed)
    # Negative control: the footer declares one value, and pyarrow reads all of them.
    with pq.ParquetFile(part) as opened:
        assert opened.metadata.row_group(0).column(8).num_values == 1
        assert opened.read(["eigenvalues"]).nbytes > 150_000_000
    with pytest.raises(LeafError, match="column eigenvalues cannot contain 20,000,0"):
        read_measurements(tmp_path)


def sizes(content: bytes, longest: dict[str, int | None]) -> None:
    file, size = io.BytesIO(content), len(content)
    pages.require_small(file, size, pages.row_groups(file, size), longest)


def test_pages_are_read_once() -> None:
    """Columns that share pages, and pages of few values, would be read for minutes."""
    one, count = page(1), 300
    sizes(parquet_of([page(150)] * count, [(0, count)], count), {"a": 150})
    sizes(parquet_of([one] * 2, [(0, 2)], 2), {"a": 1})
    shared = parquet_of([one] * count, [(0, count)] * count, count)
    apart = parquet_of([one] * count, [(0, 200), (199, 101)], count)
    for content in (shared, apart):
        with pytest.raises(ValueError, match="its columns overlap"):
            sizes(content, dict.fromkeys(map(str, range(count)), 1))
    cut = parquet_of([bytes(600)], [(0, 1)], 1)
    with pytest.raises(ValueError, match="a column is outside"):
        sizes(cut[:4] + cut[604:], {"a": 1})
    for many, message in (
        ([page(0)] * count, "too many pages"),
        ([page(0, dictionary=True)] * count, "too many pages"),
        ([one] * count, "too many pages"),
        ([page(150)] * count, "column a cannot contain 450 values in 300 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            sizes(parquet_of(many, [(0, count)], count), {"a": 1})


def test_settings_are_compared_before_pages_are_read(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "other", LeafPredictor(classifier(1)))
    shutil.copy(part_at(tmp_path / "other", 24), copy)
    settings = MeasurementFolder(copy).settings()
    assert settings is not None
    monkeypatch.setattr(pages, "_page_header", None)
    with pytest.raises(LeafError, match="its checkpoint was"):
        parts.read_part(copy / part_at(tmp_path / "other", 24).name, settings)


@pytest.mark.parametrize(("rows", "values"), [(500, 10_000), (1, 2_000_000), (8192, 16), (3, 0)])
def test_what_is_written_can_be_read(tmp_path: Path, rows: int, values: int) -> None:
    """A model whose gradients vanish has rows of equal values."""
    settings = Settings(SETTINGS | {"inputs": rows, "eigenvalues": values})
    (tmp_path / "measurement.json").write_bytes(settings.to_json())
    columns: dict[str, Any] = dict.fromkeys(COLUMNS, [None] * rows)
    zeros = np.zeros(values)
    columns |= {"index": range(rows), "status": ["ok"] * rows, "eigenvalues": [zeros] * rows}
    part = MeasurementFolder(tmp_path).add(columns, settings.column_types, settings)
    # Compression is only given up where it would be refused.
    assert (part.stat().st_size > 8 * rows * values) == (rows * values > 1_000_000 or not values)
    read = read_measurements(tmp_path)
    assert read.num_rows == rows
    assert len(read["eigenvalues"][0]) == values


@pytest.mark.parametrize("error", [MemoryError, pa.ArrowNotImplementedError, RecursionError])
def test_every_error_of_pyarrow_names_the_file(
    copy: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(pq, "ParquetFile", fail)
    with pytest.raises(LeafError, match=f"part-0+-.*{error.__name__}"):
        read_measurements(copy)


def test_strongly_compressed_file_is_rejected(tmp_path: Path) -> None:
    row = {name: pa.nulls(1, kind) for name, kind in COLUMNS.items()}
    columns = row | {"index": [0], "status": ["ok" + " " * 2**27]}
    part = table_in(tmp_path, columns, inputs=1, compression="zstd")
    assert part.stat().st_size < 100_000
    with pytest.raises(LeafError, match=r"cannot contain 134,\d+,\d+ bytes of values"):
        read_measurements(tmp_path)


def test_random_damage_is_an_error_or_the_same_table(measured: Path, tmp_path: Path) -> None:
    """Parts without a checksum in their name, whose bytes, footers and values are changed."""
    original = part_at(measured, 24).read_bytes()
    settings = MeasurementFolder(measured).settings()
    assert settings is not None
    part, generator = tmp_path / "part-000000000024.parquet", random.Random(1)
    read = 0
    for _ in range(300 * EXAMPLES):
        change = generator.choice([damaged, with_changed_footer])
        part.write_bytes(change(original, generator))
        with contextlib.suppress(LeafError):
            table = parts.read_part(part, settings)
            read += 1
            assert table.schema.equals(pq.read_schema(part_at(measured, 24)))
            assert set(table["index"].to_pylist()) <= set(range(INPUTS))
    assert 0 < read < 100 * EXAMPLES


def test_random_settings_are_an_error_or_equal(measured: Path) -> None:
    original = (measured / "measurement.json").read_bytes()
    expected, generator = Settings.parse(original), random.Random(2)
    parsed = 0
    for _ in range(1000 * EXAMPLES):
        content = damaged(original, generator)
        with contextlib.suppress(ValueError):  # LeafError is one, too
            settings = Settings.parse(content)
            parsed += 1
            assert (settings == expected) == (json.loads(content) == json.loads(original))
            assert len(settings.differences(expected)) < 2000
            assert settings.inputs >= 0
            assert settings.column_types
    assert parsed > 50 * EXAMPLES


def test_two_names_of_settings_are_one_table() -> None:
    """Order and spelling of numbers do not matter; NaN equals itself."""
    one = Settings.parse(json.dumps(SETTINGS | {"a": float("nan")}).encode())
    other = Settings.parse(json.dumps({"a": float("nan")} | SETTINGS, indent=1).encode())
    assert one == other
    assert one != Settings(SETTINGS)
