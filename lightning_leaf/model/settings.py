"""Restore settings of the process that a forward pass may change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch

SETTINGS: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda mode: torch.use_deterministic_algorithms(mode[0], warn_only=mode[1]),
    ),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    *(
        (
            lambda name=name: getattr(torch.backends.cudnn, name),
            lambda value, name=name: setattr(torch.backends.cudnn, name, value),
        )
        for name in ("enabled", "benchmark", "deterministic")
    ),
]
"""Functions that read and change a setting."""

ENVIRONMENT: MutableMapping[Any, Any] = getattr(os, "environb", os.environ)
"""Environment variables, as bytes where the system keeps them so: decoding takes most of a copy."""


@contextmanager
def unchanged_settings() -> Iterator[None]:
    """Restore the settings of torch that decide how a training computes, and the environment."""
    before = [read() for read, _ in SETTINGS]
    environment = dict(ENVIRONMENT)
    try:
        yield
    finally:
        for (read, change), value in zip(SETTINGS, before, strict=True):
            if read() != value:
                change(value)
        if dict(ENVIRONMENT) != environment:
            for name in ENVIRONMENT.keys() - environment.keys():
                del ENVIRONMENT[name]
            ENVIRONMENT.update(environment)
