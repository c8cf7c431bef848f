"""The sizes that the pages of a Parquet file declare, without reading the pages.

The footer of a file may declare other sizes than its pages, and pyarrow allocates what the pages
declare. Their headers are structs in Thrift's compact protocol, and their fields are those of
``PageHeader`` in the format's definition, parquet.thrift.
"""

from __future__ import annotations

from typing import Any, BinaryIO

HEADER_BYTES = 2**16
"""Largest size of a header; statistics of a page take a few hundred bytes."""
DEEPEST = 8

UNCOMPRESSED_SIZE, COMPRESSED_SIZE = 2, 3
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 5, 7, 8
VALUES = 1

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY = range(9)
STRUCT = 12


def require_small_pages(file: BinaryIO, metadata: Any, size: int, at_most: int) -> None:
    """Check that the pages of a file declare few values, and few bytes after decompression.

    Args:
        file: The file; it is at another position afterwards.
        metadata: Its footer, a ``pyarrow.parquet.FileMetaData``.
        size: The size of the file in bytes.
        at_most: Largest number of values, and of bytes, in all pages together.

    Raises:
        ValueError: If there are more, or if a header cannot be read.
    """
    values = declared = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in range(group.num_columns):
            start, end = _extent(group.column(column))
            if not 0 <= start <= end <= size:
                raise ValueError("a column is outside of the file")
            while start < end:
                file.seek(start)
                header, length = _page_header(file.read(HEADER_BYTES))
                values += _values(header)
                declared += _natural(header, UNCOMPRESSED_SIZE)
                if values > at_most or declared > at_most:
                    raise ValueError(
                        f"a file of {size:,} bytes cannot contain {values:,} values in "
                        f"{declared:,} bytes"
                    )
                start += length + _natural(header, COMPRESSED_SIZE)


def _extent(column: Any) -> tuple[int, int]:
    """Return where the pages of a column begin and end."""
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    return start, start + column.total_compressed_size


def _values(header: dict[int, Any]) -> int:
    pages = [header[kind] for kind in (DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2) if kind in header]
    return sum(_natural(page, VALUES) for page in pages)


def _natural(fields: Any, name: int) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, int) or value < 0:
        raise ValueError("the header of a page has no sizes")
    return value


def _page_header(content: bytes) -> tuple[dict[int, Any], int]:
    """Return the fields of a page header by number, and its length in bytes."""
    reader = _CompactReader(content)
    try:
        return reader.struct(0), reader.position
    except IndexError:
        raise ValueError("the header of a page is cut off") from None


class _CompactReader:
    """Reads structs in Thrift's compact protocol. Only whole numbers and structs are kept."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > DEEPEST:
            raise ValueError("the header of a page is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != STOP:
            number = number + (head >> 4) if head >> 4 else self._signed()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind == BYTE:
            self.position += 1
        elif kind == DOUBLE:
            self.position += 8
        elif kind == BINARY:
            length = self._varint()
            self.position += length
        elif kind not in (TRUE, FALSE):  # whose value is the kind
            raise ValueError("the header of a page has an unknown field")
        return None

    def _byte(self) -> int:
        byte = self._content[self.position]
        self.position += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("the header of a page has a number of more than 64 bits")

    def _signed(self) -> int:
        """Read a number in zigzag encoding: 0, −1, 1, −2, 2, …."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
