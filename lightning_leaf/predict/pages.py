"""The sizes that a Parquet file declares, in its footer and in the headers of its pages.

pyarrow allocates what the pages declare, which may be more than the footer declares. The numbers of
fields are those of parquet.thrift, the definition of the format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from lightning_leaf.predict.compact import read_struct

MAGIC = b"PAR1"
WRITER = b"parquet-cpp-arrow"
"""pyarrow reads the files of some other writers beyond the ends of their columns."""
FOOTER_BYTES = 2**26
PAGE_HEADER_BYTES = (2**9, 2**16)
"""Bytes of a page that are read for its header, and for headers with long statistics."""
EXPANSION = 1024
"""Largest number of bytes in memory for each byte of a file.

A row takes at least one byte, because the positions differ, and a few hundred in memory.
"""
BYTES_PER_VALUE = 8
VALUES_PER_PAGE, PARTIAL_PAGES = 100, 2
"""Smallest number of values of a page, except for two of each column. pyarrow writes a thousand."""

# FileMetaData, RowGroup, ColumnChunk and ColumnMetaData
ROW_GROUPS, CREATED_BY = 4, 6
COLUMNS, GROUP_ROWS = 1, 3
COLUMN_METADATA = 3
COLUMN_SIZE, DATA_OFFSET, DICTIONARY_OFFSET = 7, 9, 11
# PageHeader, and the headers of its kinds of pages
UNCOMPRESSED_SIZE, COMPRESSED_SIZE = 2, 3
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 5, 7, 8
PAGE_VALUES = 1


@dataclass(frozen=True)
class RowGroup:
    """A group of rows in a file.

    Attributes:
        rows: Number of rows.
        columns: Where the pages of each column begin and end.
    """

    rows: int
    columns: list[tuple[int, int]]


def row_groups(file: BinaryIO, size: int) -> list[RowGroup]:
    """Read where the columns of a file are. The time depends on the size of the footer alone.

    Args:
        file: The file; it is at its begin afterwards.
        size: Its size in bytes.

    Raises:
        ValueError: If the footer cannot be read, declares more rows than bytes, or columns that
            overlap or are outside of the file.
    """
    groups = [
        RowGroup(
            _natural(group, GROUP_ROWS),
            [_extent(_struct(column, COLUMN_METADATA)) for column in _list(group, COLUMNS)],
        )
        for group in _list(_footer(file, size), ROW_GROUPS)
    ]
    file.seek(0)
    rows = sum(group.rows for group in groups)
    if rows > size:
        raise ValueError(f"a file of {size:,} bytes cannot contain {rows:,} rows")
    last = 0
    for start, end in sorted(extent for group in groups for extent in group.columns):
        if start < last:
            raise ValueError("its columns overlap")
        last = end
    if last > size:
        raise ValueError("a column is outside of the file")
    return groups


def require_small(
    file: BinaryIO, size: int, groups: Sequence[RowGroup], longest: Mapping[str, int | None]
) -> None:
    """Check that a file does not expand to much more than its size when it is read.

    The headers of all pages are read, which therefore may not be many.

    Args:
        file: The file; it is at its begin afterwards.
        size: Its size in bytes.
        groups: What :func:`row_groups` returns for it.
        longest: Largest number of values of a row, by the name of the column; None if unknown.

    Raises:
        ValueError: If a column has more pages than values need, or declares more values than its
            rows can have, if the file declares more than 1024 bytes in memory for each byte, or if
            the header of a page cannot be read.
    """
    total = 0
    for group in groups:
        for (start, end), (name, most) in zip(group.columns, longest.items(), strict=True):
            values = pages = dictionaries = 0
            while start < end:
                header, length = _page_header(file, start)
                if DICTIONARY_PAGE in header:
                    dictionaries += 1
                    total += BYTES_PER_VALUE * _values(header, DICTIONARY_PAGE)
                else:
                    count = _values(header, DATA_PAGE_V2 if DATA_PAGE_V2 in header else DATA_PAGE)
                    values += count
                    total += BYTES_PER_VALUE * count
                    pages += 1
                if dictionaries > 1 or (pages - PARTIAL_PAGES) * VALUES_PER_PAGE > values:
                    raise ValueError(f"column {name} has too many pages")
                # A missing or empty list counts as one value.
                if most is not None and values > group.rows * max(1, most):
                    raise ValueError(
                        f"column {name} cannot contain {values:,} values in {group.rows:,} rows"
                    )
                total += _natural(header, UNCOMPRESSED_SIZE)
                if total > EXPANSION * size:
                    raise ValueError(
                        f"a file of {size:,} bytes cannot contain {total:,} bytes of values"
                    )
                start += length + _natural(header, COMPRESSED_SIZE)
    file.seek(0)


def _page_header(file: BinaryIO, start: int) -> tuple[dict[int, Any], int]:
    short, long = PAGE_HEADER_BYTES
    file.seek(start)
    content = file.read(short)
    try:
        return read_struct(content)
    except ValueError:  # cut off
        return read_struct(content + file.read(long - short))


def _footer(file: BinaryIO, size: int) -> dict[int, Any]:
    """Return the fields of the footer."""
    end_size = 4 + len(MAGIC)
    file.seek(max(0, size - end_size))
    end = file.read(end_size)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != MAGIC or not 0 < length <= min(FOOTER_BYTES, size - end_size):
        raise ValueError("it is not a Parquet file, or it is cut off")
    file.seek(size - end_size - length)
    footer, _ = read_struct(file.read(length))
    writer = footer.get(CREATED_BY)
    if not isinstance(writer, bytes) or not writer.startswith(WRITER):
        raise ValueError("it was not written by pyarrow")
    return footer


def _extent(column: dict[int, Any]) -> tuple[int, int]:
    """Return where the pages of a column begin and end."""
    start, size = _natural(column, DATA_OFFSET), _natural(column, COLUMN_SIZE)
    if DICTIONARY_OFFSET in column:
        dictionary = _natural(column, DICTIONARY_OFFSET)
        start = dictionary if 0 < dictionary < start else start
    return start, start + size


def _values(header: dict[int, Any], kind: int) -> int:
    return _natural(_struct(header, kind), PAGE_VALUES)


def _natural(fields: dict[int, Any], number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or value < 0:
        raise ValueError("its footer or a page does not declare its size")
    return value


def _struct(fields: dict[int, Any], number: int) -> dict[int, Any]:
    value = fields.get(number)
    if not isinstance(value, dict):
        raise ValueError("its footer or a page does not declare its size")
    return value


def _list(fields: dict[int, Any], number: int) -> list[dict[int, Any]]:
    values = fields.get(number)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError("its footer does not list its columns")
    return values
