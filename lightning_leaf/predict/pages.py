"""The sizes that a Parquet file declares, in its footer and in the headers of its pages.

pyarrow allocates what the pages declare, which may be more than the footer declares. The numbers of
fields are those of parquet.thrift, the definition of the format.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from lightning_leaf.predict.compact import read_struct

MAGIC = b"PAR1"
WRITER = b"parquet-cpp-arrow"
"""pyarrow reads the files of some other writers beyond the ends of their columns."""
FOOTER_BYTES = 2**26
PAGE_HEADER_BYTES = 2**16
EXPANSION = 1024
"""Largest number of values, and of bytes after decompression, for each byte of a file.

A row takes at least one byte, because the positions differ. Lists of equal values are compressed
more: a model whose gradients vanish has a hundred of them for each byte.
"""

# FileMetaData, RowGroup, ColumnChunk and ColumnMetaData
ROW_GROUPS, CREATED_BY = 4, 6
COLUMNS, GROUP_ROWS = 1, 3
COLUMN_METADATA = 3
COLUMN_SIZE, DATA_OFFSET, DICTIONARY_OFFSET = 7, 9, 11
# PageHeader, and the headers of its kinds of pages
UNCOMPRESSED_SIZE, COMPRESSED_SIZE = 2, 3
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 5, 7, 8
PAGE_VALUES = 1


def require_small(file: BinaryIO, size: int) -> None:
    """Check that a file does not expand to much more than its size when it is read.

    Args:
        file: The file; it is at its begin afterwards.
        size: Its size in bytes.

    Raises:
        ValueError: If it declares more rows than bytes, or more than 1024 values or decompressed
            bytes for each byte, or if its footer or the header of a page cannot be read.
    """
    rows = values = declared = 0
    for group in _list(_footer(file, size), ROW_GROUPS):
        rows += _natural(group, GROUP_ROWS)
        if rows > size:
            raise ValueError(f"a file of {size:,} bytes cannot contain {rows:,} rows")
        for column in _list(group, COLUMNS):
            start, end = _extent(_struct(column, COLUMN_METADATA))
            if end > size:
                raise ValueError("a column is outside of the file")
            while start < end:
                file.seek(start)
                header, length = read_struct(file.read(PAGE_HEADER_BYTES))
                values += _values(header)
                declared += _natural(header, UNCOMPRESSED_SIZE)
                if max(values, declared) > EXPANSION * size:
                    raise ValueError(
                        f"a file of {size:,} bytes cannot contain {values:,} values in "
                        f"{declared:,} bytes"
                    )
                start += length + _natural(header, COMPRESSED_SIZE)
    file.seek(0)


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


def _values(header: dict[int, Any]) -> int:
    kinds = [kind for kind in (DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2) if kind in header]
    return sum(_natural(_struct(header, kind), PAGE_VALUES) for kind in kinds)


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
