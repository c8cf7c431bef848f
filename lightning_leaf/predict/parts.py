"""One Parquet file of a table: written with checksums, and checked completely when it is read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lightning_leaf.errors import LeafError, message_of, type_name
from lightning_leaf.paths.single_path import PathStatus
from lightning_leaf.predict.columns import OK, Columns, ColumnTypes
from lightning_leaf.predict.files import open_regular, read_at_most, write_whole
from lightning_leaf.predict.pages import require_small, row_groups
from lightning_leaf.predict.settings import MAX_BYTES, Settings

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = b"lightning_leaf"
PATTERN = "part-*.parquet"
NAME = re.compile(r"part-[0-9]{12,}(?:-([0-9a-f]{32}))?\.parquet")
"""The first position, and the checksum, which older files do not have."""
STATUSES = {OK, *(status.value for status in PathStatus)}


def write_part(folder: Path, columns: Columns, types: ColumnTypes, settings: Settings) -> Path:
    """Write some rows as one file, whose name contains their first position and its checksum.

    A file of the same name is not replaced.

    Args:
        folder: The folder of the table.
        columns: The rows.
        types: The type of each column.
        settings: Written into the metadata of the file.

    Returns:
        The file.

    Raises:
        LeafError: If the file cannot be written, or a file of that name has other content.
    """
    pa, _ = arrow()
    schema = _schema(types).with_metadata({METADATA_KEY: settings.to_json()})
    table = pa.table(columns, schema=schema)
    content = _encoded(table)
    if not _is_readable(content, settings):  # thousands of equal values in each row
        content = _encoded(table, compression="none", use_dictionary=False)
    part = folder / f"part-{columns['index'][0]:012d}-{_checksum(content)}.parquet"
    if not os.path.lexists(part):
        write_whole(part, content)
    elif not _contains(part, content):  # the same content: another run measured the same rows
        raise LeafError(
            f"Expected {part} to have the checksum in its name; it is damaged. Delete it and run "
            "again with the same folder: its inputs are measured again."
        )
    return part


def read_part(part: Path, settings: Settings, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a file of a table, and check that it is complete and belongs to the table.

    Args:
        part: The file.
        settings: The settings of the table.
        columns: The columns to read. Default: all.

    Raises:
        LeafError: If the file is damaged, has other settings or other columns, or contains
            positions that are none of the table.
    """
    types = settings.column_types
    if unknown := [name for name in columns or () if name not in types]:
        raise LeafError(
            f"Expected columns among {', '.join(types)}; got {', '.join(map(repr, unknown))}."
        )
    inputs = settings.inputs
    try:
        with open_regular(part) as file:
            _require_checksum(part, file)
            table = _read(file, settings, types, columns)
        _require_rows(table, inputs)
    except Exception as error:  # pyarrow raises errors of any class
        cause = message_of(error).partition("\n")[0] or type_name(error)
        raise LeafError(
            f"Expected {part} to be a part of the table in its folder; {cause}. Nothing was "
            "changed. Delete the file, or move it away if it is part of another table, and run "
            "again with the same folder: its inputs are measured again."
        ) from error
    return table


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet.

    Raises:
        ModuleNotFoundError: If pyarrow is not installed; the message gives the command that
            installs it.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Writing and reading measurements needs pyarrow, which is not installed. Run: "
            'python -m pip install "lightning-leaf[measure]"'
        ) from error
    return pyarrow, pyarrow.parquet


def _encoded(table: pa.Table, **options: Any) -> bytes:
    pa, parquet = arrow()
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, write_page_checksum=True, **options)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _is_readable(content: bytes, settings: Settings) -> bool:
    """Return whether the sizes in a file are within the limits for reading."""
    file, size = BytesIO(content), len(content)
    try:
        require_small(file, size, row_groups(file, size), settings.longest_lists)
    except ValueError:
        return False
    return True


def _schema(types: ColumnTypes) -> pa.Schema:
    pa, _ = arrow()
    arrow_types = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
    arrow_types |= {f"list<{name}>": pa.list_(kind) for name, kind in arrow_types.items()}
    return pa.schema([pa.field(name, arrow_types[kind]) for name, kind in types.items()])


def _checksum(content: bytes | BinaryIO) -> str:
    """Return the first half of the SHA-256 of a file or of its content."""
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
    else:
        while chunk := content.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def _contains(part: Path, content: bytes) -> bool:
    try:
        return read_at_most(part, len(content)) == content
    except OSError:
        return False


def _require_checksum(part: Path, file: BinaryIO) -> None:
    name = NAME.fullmatch(part.name)
    if name is None:
        raise ValueError("its name is not part-<first position>-<checksum>.parquet")
    if name[1] is not None:
        checksum = _checksum(file)
        if checksum != name[1]:
            raise ValueError(f"its checksum is {checksum}, not that in its name: it is damaged")
        file.seek(0)


def _read(
    file: BinaryIO, settings: Settings, types: ColumnTypes, columns: Sequence[str] | None
) -> pa.Table:
    pa, parquet = arrow()
    size = os.fstat(file.fileno()).st_size
    groups = row_groups(file, size)
    # Read as codes: one long string may be the status of every row.
    options = {"page_checksum_verification": True, "read_dictionary": ["status"]}
    with parquet.ParquetFile(file, **options) as opened:
        schema = opened.schema_arrow
        content = (schema.metadata or {}).get(METADATA_KEY)
        if content is None:
            raise ValueError("it contains no settings of a measurement")
        if len(content) > MAX_BYTES:
            raise ValueError(f"its settings are larger than {MAX_BYTES:,} bytes")
        own = Settings.parse(content)
        if own != settings:
            raise ValueError(f"its {own.differences(settings)} in measurement.json")
        expected = _schema(types)
        received = [(field.name, _plain(field.type)) for field in schema]
        if received != [(field.name, field.type) for field in expected]:
            raise ValueError(_column_differences(received, expected))
        if any(len(group.columns) != len(types) for group in groups):
            raise ValueError("a group of rows has other columns")
        require_small(file, size, groups, settings.longest_lists)
        table = opened.read(None if columns is None else list(columns))
    if "status" in table.column_names:
        status = table["status"]
        values = {value for chunk in status.chunks for value in chunk.dictionary.to_pylist()}
        if not values <= STATUSES or status.null_count:
            raise ValueError("a status is none of " + ", ".join(sorted(STATUSES)))
    fields = [expected.field(name) for name in table.column_names]
    return table.cast(pa.schema(fields, {METADATA_KEY: content}))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column that was read as codes."""
    pa, _ = arrow()
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _column_differences(received: list[tuple[str, pa.DataType]], expected: pa.Schema) -> str:
    for field, (name, kind) in zip(expected, received, strict=False):
        if (field.name, field.type) != (name, kind):
            return f"expected column {field.name} ({field.type}), got {name[:80]} ({kind})"[:300]
    return f"expected {len(expected)} columns, got {len(received)}"


def _require_rows(table: pa.Table, inputs: int) -> None:
    if "index" not in table.column_names:
        return
    column = table["index"]
    if column.null_count:
        raise ValueError("a row has no index")
    indices = np.sort(column.to_numpy())
    if len(indices) and not 0 <= indices[0] <= indices[-1] < inputs:
        wrong = indices[0] if indices[0] < 0 else indices[-1]
        raise ValueError(f"it contains index {wrong}, but the table has {inputs:,} inputs")
    repeated = indices[1:][np.diff(indices) == 0]
    if len(repeated):
        raise ValueError(f"it contains index {repeated[0]} more than once")
