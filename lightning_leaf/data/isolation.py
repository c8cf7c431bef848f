"""Separate a forked process from its parent: open files, connections and shared memory."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import stat
from typing import Literal

SHARED_MEMORY = ("/dev/shm/", "/dev/zero", "/memfd:")
"""Beginnings of the names of shared memory. Memory of devices has other names."""
MAX_BYTES = 2**28
"""Total size of shared memory that is copied. What is larger is data, which is only read."""
MAP_FIXED = 0x10
PR_SET_PDEATHSIG = 1

Inherited = dict[int, Literal["file", "connection"]]
"""Descriptors that a forked process inherits, and what they are."""


def open_files() -> Inherited:
    """Return the open files and connections of this process (Linux)."""
    kinds: Inherited = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed again
            mode = os.fstat(number).st_mode
            if number > 2 and stat.S_ISREG(mode):
                kinds[number] = "file"
            elif number > 2 and (stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode)):
                kinds[number] = "connection"
    return kinds


def separate(inherited: Inherited) -> None:
    """Separate this process, which was forked, from its parent (Linux).

    Afterwards this process has its own position in every open file and a private copy of shared
    memory; using a connection of the parent (a socket or a pipe) raises an OSError. It ends when
    the parent ends.

    Args:
        inherited: What :func:`open_files` returned before the fork.
    """
    import fcntl  # not on Windows

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, kind in inherited.items():
        own = -1
        if kind == "file":
            with contextlib.suppress(OSError):  # closed since, or without permission to open it
                flags = fcntl.fcntl(number, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND)
                position = os.lseek(number, 0, os.SEEK_CUR)
                own = os.open(f"/proc/self/fd/{number}", flags)
                os.lseek(own, position, os.SEEK_SET)
        os.dup2(nothing if own < 0 else own, number)
        if own >= 0:
            os.close(own)
    _copy_shared_memory(libc)


def _copy_shared_memory(libc: ctypes.CDLL) -> None:
    """Replace shared memory that can be written by private memory of the same content."""
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_long),
    ]
    remaining = MAX_BYTES
    with open("/proc/self/maps") as file:
        regions = [line.split(maxsplit=5) for line in file]
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    for addresses, permissions, *_, name in (region for region in regions if len(region) == 6):
        begin, end = (int(address, 16) for address in addresses.split("-"))
        is_shared = permissions.startswith("rw") and permissions.endswith("s")
        if not (is_shared and name.startswith(SHARED_MEMORY)) or end - begin > remaining:
            continue
        try:
            # Reading it directly would end the process where its file has become shorter.
            content = os.pread(memory, end - begin, begin)
        except OSError:
            continue
        if len(content) < end - begin:
            continue
        remaining -= end - begin
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
        if libc.mmap(begin, end - begin, protection, flags, -1, 0) != begin:
            raise OSError(ctypes.get_errno(), "shared memory cannot be copied")
        ctypes.memmove(begin, content, len(content))
