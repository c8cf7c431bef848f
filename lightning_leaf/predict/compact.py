"""Read structs in Thrift's compact protocol, in which Parquet files declare their sizes.

pyarrow reads them too, but gives no access to the headers of pages, and ends the process at some
damaged footers.
"""

from __future__ import annotations

from typing import Any

DEEPEST = 16
MOST_FIELDS = 1_000_000
"""A column of a row group has about fifty fields."""
LONGEST_TEXT = 100

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET = range(11)
STRUCT = 12


def read_struct(content: bytes) -> tuple[dict[int, Any], int]:
    """Return the fields of the struct with which some bytes begin, and its length in bytes.

    Args:
        content: The bytes; more may follow the struct.

    Returns:
        Whole numbers, texts of at most 100 bytes, structs and lists of them by the number of the
        field. Other values are None.

    Raises:
        ValueError: If the bytes are no struct.
    """
    reader = _Reader(content)
    try:
        return reader.struct(0), reader.position
    except IndexError:
        raise ValueError("it is cut off") from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._fields = 0
        self.position = 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > DEEPEST:
            raise ValueError("its footer or a page is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != STOP:
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number in fields:
                raise ValueError("its footer or a page has a field twice")
            kind = head & 15
            # The value of a boolean field is its kind.
            fields[number] = None if kind in (TRUE, FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise ValueError("its footer or a page has too many fields")
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            head = self._byte()
            length = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15, depth + 1) for _ in range(length)]
        if kind not in (TRUE, FALSE, BYTE, DOUBLE, BINARY):
            raise ValueError("its footer or a page has an unknown field")
        size = self._varint() if kind == BINARY else 8 if kind == DOUBLE else 1
        start, self.position = self.position, self.position + size
        is_text = kind == BINARY and size <= LONGEST_TEXT
        return self._content[start : self.position] if is_text else None

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
                raise ValueError("its footer or a page has a number of more than 64 bits")

    def _signed(self) -> int:
        """Read a number in zigzag encoding: 0, −1, 1, −2, 2, …."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
