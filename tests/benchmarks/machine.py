"""Description of the machine and of memory use."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import sys
from pathlib import Path

import torch


def describe() -> str:
    """Return date, processor, threads, accelerator and versions in one line."""
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no accelerator"
    return (
        f"{datetime.date.today()}, {_processor()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, {accelerator}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def peak_memory() -> float:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage may report the peak of the parent process
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024.0 * float(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    if names.exists():
        for line in names.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
