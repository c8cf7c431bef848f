"""Tables that no run has written: damaged bytes, other columns, sizes that a file only declares."""

from __future__ import annotations

import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightning_leaf.predict.parts import METADATA_KEY

SETTINGS: dict[str, Any] = {
    "schema_version": 1,
    "task": "inputs",
    "ranks": ["entropy"],
    "eigenvalues": 16,
    "inputs": 1,
    "batch_size": 8,
}
COLUMNS = {
    "index": pa.int64(),
    "label": pa.int64(),
    "predicted_label": pa.int64(),
    "probability": pa.float64(),
    "trace": pa.float64(),
    "trace_standard_error": pa.float64(),
    "effective_rank_entropy": pa.float64(),
    "tangent_dimension": pa.int64(),
    "eigenvalues": pa.list_(pa.float64()),
    "status": pa.string(),
}


def named_by_checksum(folder: Path, start: int, table: pa.Table, **options: Any) -> Path:
    """Write a table as a part whose name has the right checksum, as an attacker can."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    checksum = hashlib.sha256(sink.getvalue()).hexdigest()[:32]
    part = folder / f"part-{start:012d}-{checksum}.parquet"
    part.write_bytes(sink.getvalue())
    return part


def table_in(
    folder: Path, columns: dict[str, Any], *, inputs: int, eigenvalues: int = 16, **options: Any
) -> Path:
    """Write a folder of one part with matching settings."""
    settings = json.dumps(SETTINGS | {"inputs": inputs, "eigenvalues": eigenvalues})
    (folder / "measurement.json").write_text(settings)
    schema = pa.schema(list(COLUMNS.items()), {METADATA_KEY: settings.encode()})
    return named_by_checksum(folder, 0, pa.table(columns, schema=schema), **options)


def varint(number: int, length: int = 0) -> bytes:
    """Return a number as the footer of a Parquet file contains it, in at least `length` bytes."""
    rest, groups = 2 * number, []
    while rest or len(groups) < length:
        groups.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*groups[:-1], groups[-1] & 127])


def deep_json(depth: int) -> bytes:
    return b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}"


def damaged(content: bytes, generator: random.Random) -> bytes:
    """Return bytes that were flipped, cut, repeated, swapped or overwritten."""
    size = len(content)
    start, length = generator.randrange(size), generator.randrange(1, 40)
    kind = generator.randrange(5)
    if kind == 0:
        changed = bytearray(content)
        for _ in range(generator.randrange(1, 8)):
            changed[generator.randrange(size)] ^= 1 << generator.randrange(8)
        return bytes(changed)
    if kind == 1:
        return content[:start]
    if kind == 2:
        return content[:start] + content[start : start + length] + content[start:]
    if kind == 3:
        return content[:start] + content[start + length :]
    return content[:start] + generator.randbytes(length) + content[start + length :]


def with_changed_footer(content: bytes, generator: random.Random) -> bytes:
    """Return a Parquet file whose footer is damaged; its length stays that of the footer."""
    length = int.from_bytes(content[-8:-4], "little")
    footer = bytearray(content[-8 - length : -8])
    for _ in range(generator.randrange(1, 4)):
        footer[generator.randrange(length)] = generator.randrange(256)
    return content[: -8 - length] + bytes(footer) + content[-8:]


def struct(fields: dict[int, Any]) -> bytes:
    """Return a struct in Thrift's compact protocol."""
    parts = [b""]
    for number, value in fields.items():
        parts.append(bytes([_kind(value)]) + varint(number) + _encoded(value))
    return b"".join([*parts, b"\0"])


def _kind(value: Any) -> int:
    return {int: 6, bytes: 8, list: 9, dict: 12}[type(value)]


def _encoded(value: Any) -> bytes:
    if isinstance(value, int):
        return varint(value, 1)
    if isinstance(value, bytes):
        return _length(len(value)) + value
    if isinstance(value, dict):
        return struct(value)
    return bytes([0xF0 | _kind(value[0])]) + _length(len(value)) + b"".join(map(_encoded, value))


def _length(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def parquet_of(pages: list[bytes], columns: list[tuple[int, int]], rows: int) -> bytes:
    """Return a file of pages, and of columns that begin at a page and have a number of pages."""
    starts = [4]
    for page in pages:
        starts.append(starts[-1] + len(page))
    chunks = [
        {3: {7: starts[first + count] - starts[first], 9: starts[first]}}
        for first, count in columns
    ]
    footer = struct({4: [{1: chunks, 3: rows}], 6: b"parquet-cpp-arrow"})
    end = len(footer).to_bytes(4, "little") + b"PAR1"
    return b"PAR1" + b"".join(pages) + footer + end


def page(values: int, *, dictionary: bool = False) -> bytes:
    """Return a page without content, which declares a number of values."""
    return struct({2: 0, 3: 0, 7 if dictionary else 5: {1: values}})
