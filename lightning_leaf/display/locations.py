"""Local folders and the URLs of remote file systems, such as ``s3://`` and ``gs://``."""

from __future__ import annotations

from pathlib import Path

from fsspec.core import split_protocol
from fsspec.implementations.local import LocalFileSystem


def local_path(location: str | Path) -> Path | None:
    """Return the local path of a folder, or None if it is on a remote file system.

    Args:
        location: A path, or a URL of a file system that fsspec supports.

    Example:
        >>> local_path("logs/run").as_posix().endswith("logs/run"), local_path("s3://bucket/run")
        (True, None)
    """
    if isinstance(location, Path):
        return location
    protocol, _ = split_protocol(location)
    if protocol is None:
        return Path(location)
    if protocol in LocalFileSystem.protocol:
        return Path(LocalFileSystem._strip_protocol(location))
    return None
