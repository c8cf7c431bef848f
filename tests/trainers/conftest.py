"""The two packages that contain the same trainer."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from tests.support.trainers.packages import PACKAGES


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> ModuleType:
    """``lightning.pytorch`` or ``pytorch_lightning``."""
    return importlib.import_module(request.param)
