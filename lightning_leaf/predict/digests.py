"""A digest of values: of weights, hyper-parameters and examples."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_leaf.errors import type_name

DEEPEST = 32
MOST_VALUES = 1_000_000
"""Largest number of values of one digest; of those after it, only the type counts."""


class Digest:
    """A SHA-256 of values that is the same in every process and on every device.

    Tensors, arrays, numbers, text, bytes and lists and dicts of them count by value. Other objects
    count by their type: their representation may contain an address.

    Example:
        >>> one, other = Digest(), Digest()
        >>> one.add({"a": [1, 2.5]})
        >>> other.add({"a": [1, 2.5, None]})
        >>> one.text() == other.text()
        False
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._values = 0

    def text(self) -> str:
        """Return the digest of all values as 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def add(self, value: Any, depth: int = 0) -> None:
        """Add a value."""
        self._values += 1
        kind: Any = type(value)  # isinstance would run code of the value
        if depth > DEEPEST or self._values > MOST_VALUES:
            self._piece("type", type_name(value).encode())
        elif value is None or kind is bool:
            self._piece("constant", repr(value).encode())
        elif issubclass(kind, float):
            self._piece("number", float.__repr__(value).encode())
        elif issubclass(kind, int):
            self._piece("integer", int.__format__(value, "x").encode())
        elif issubclass(kind, str):
            self._piece("text", str.encode(value, errors="surrogatepass"))
        elif issubclass(kind, (bytes, bytearray)):
            self._piece("bytes", value)
        elif issubclass(kind, BytesIO):
            self._piece("bytes", value.getvalue())
        elif issubclass(kind, Tensor):
            self._piece(f"{value.dtype} {tuple(value.shape)}", _bytes(value))
        elif issubclass(kind, (np.ndarray, np.generic)) and not value.dtype.hasobject:
            self._piece(f"{value.dtype} {value.shape}", value.tobytes())
        elif issubclass(kind, dict):
            self._piece("dict", str(len(value)).encode())
            names = list(value)
            if all(type(name) is str for name in names):
                names.sort()
            for name in names:
                self.add(name, depth + 1)
                self.add(value[name], depth + 1)
        elif issubclass(kind, (list, tuple)):
            self._piece("list", str(len(value)).encode())
            for each in value:
                self.add(each, depth + 1)
        else:
            self._piece("type", type_name(value).encode())

    def _piece(self, kind: str, content: Any) -> None:
        # With its length, so that the end of one piece cannot be the beginning of the next.
        self._digest.update(f"{kind} {len(content)}:".encode())
        self._digest.update(content)


def _bytes(tensor: Tensor) -> Any:  # (...) -> (bytes,)
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    plain = dense.cpu().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy()
