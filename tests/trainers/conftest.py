"""The two packages in which the same trainer comes."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from tests.support.trainers.packages import PACKAGES


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> ModuleType:
    """``lightning.pytorch`` and ``pytorch_lightning``, one after the other."""
    return importlib.import_module(request.param)
