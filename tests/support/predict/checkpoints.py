"""Checkpoints that no training has saved: other pickles, records and compression."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch


def archive(file: Path, records: dict[str, bytes], *, compressed: bool = False) -> None:
    """Write an archive that torch.load takes for a checkpoint."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as opened:
        for name, content in records.items():
            opened.writestr(f"archive/{name}", content)


def records_of(content: Any, file: Path) -> dict[str, bytes]:
    """Return the records of the checkpoint that torch.save writes."""
    torch.save(content, file)
    with zipfile.ZipFile(file) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def with_pickle(file: Path, pickle: bytes) -> None:
    """Write a checkpoint whose content is a given pickle."""
    archive(file, records_of({}, file) | {"data.pkl": pickle})


def nested_list(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def nested_value(name: str, depth: int) -> bytes:
    """Return the pickle of a dict whose only value is a nested list."""
    key = b"X" + len(name).to_bytes(4, "little") + name.encode()
    return b"\x80\x02}" + key + b"]" * depth + b"a" * (depth - 1) + b"s."
