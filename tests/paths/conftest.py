"""Tests of paths draw the same numbers in every run and in every order."""

import pytest
import torch


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)
