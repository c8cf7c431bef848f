"""A lock on a folder of measurements: one run writes to it at a time."""

from __future__ import annotations

import os
import platform
import stat
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

from lightning_leaf.errors import LeafError

if sys.platform != "win32":
    import fcntl

LOCK_FILE = ".lock"
OWNER_BYTES = 200


class RunLock:
    """An exclusive lock on a folder, held by one process for all processes of a run.

    The operating system releases it when this process ends, however it ends, so that no lock of a
    killed run remains. Windows and some network file systems have no such locks.

    Args:
        folder: The folder to lock.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Lock the folder, which is created if it does not exist.

        Returns:
            Whether the folder is locked; False if the file system has no locks.

        Raises:
            LeafError: If another run holds the lock, or the lock is no file that can be opened.
        """
        if sys.platform == "win32":
            return False
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = self._opened()
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or error
            advice = "Allow this process to write there, or choose another folder."
            if self._path.is_symlink():
                cause, advice = "it is a symbolic link", "Delete it, or choose another folder."
            raise LeafError(f"Cannot write {self._path} ({cause}). {advice}") from error
        try:
            return self._lock(descriptor)
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def release(self) -> None:
        """Let other runs write to the folder."""
        if sys.platform != "win32" and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            _held.discard(self)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    if sys.platform != "win32":

        def _opened(self) -> int:
            flags = os.O_NOFOLLOW | os.O_NONBLOCK
            try:
                return os.open(self._path, os.O_RDWR | os.O_CREAT | flags, 0o666)
            except PermissionError:  # a file of another user, which can be locked nevertheless
                return os.open(self._path, os.O_RDONLY | flags)

        def _lock(self, descriptor: int) -> bool:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise LeafError(
                    f"Expected {self._path} to be a regular file. Delete it, or choose another "
                    "folder."
                )
            # A hard link may be the name of a file elsewhere, such as a backup of the folder.
            is_own = found.st_nlink == 1
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                text = os.read(descriptor, OWNER_BYTES) if is_own else b""
                owner = text.decode(errors="replace") or "another run"
                raise LeafError(
                    f"{self._path.parent} is being measured by {owner}. Nothing was changed. Wait "
                    "until that run ends and run again to measure what is missing, or choose "
                    "another folder."
                ) from error
            except OSError:
                return False
            if is_own:
                now = time.strftime("%Y-%m-%d %H:%M:%S")
                owner = f"process {os.getpid()} on {platform.node()}, started {now}"
                with suppress(OSError):  # it was opened for reading, or the disk is full
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, owner.encode()[:OWNER_BYTES], 0)
            self._descriptor = descriptor
            _held.add(self)
            return True


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _close_in_child() -> None:
    # A worker process that outlives a killed run must not keep its lock.
    for lock in list(_held):
        if lock._descriptor is not None:
            os.close(lock._descriptor)
            lock._descriptor = None
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)
