"""Read regular files only, and write files without following links."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from lightning_leaf.errors import LeafError

TEMPORARY = ".tmp"


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. A pipe or a device, which may have no end, is an error.

    Raises:
        OSError: If it cannot be opened or is not a regular file.
    """
    # Without O_NONBLOCK, opening a named pipe waits for a process that writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a zero byte in the name
        raise OSError(str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_at_most(path: Path, size: int) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: If it cannot be read, is not a regular file, or is larger than ``size`` bytes.
    """
    with open_regular(path) as file:
        content = file.read(size + 1)
    if len(content) > size:
        raise OSError(f"it is larger than {size:,} bytes")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, and rename it when it is on the disk.

    A symbolic link of that name is replaced; its target stays unchanged. The folder is created if
    it does not exist.

    Raises:
        LeafError: If the file cannot be written, for example to a full disk.
    """
    try:
        temporary = path.with_name(f".{path.name}.{uuid4().hex}{TEMPORARY}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:  # exclusive creation follows no link
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise LeafError(
            f"Cannot write {path} ({getattr(error, 'strerror', None) or error}). Files written "
            "before are complete. Free some disk space or allow this process to write there, then "
            "run again with the same folder to resume."
        ) from error
