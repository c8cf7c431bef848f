"""The number of inputs and of gradients that are computed together, by device and memory."""

from dataclasses import dataclass

import pytest
import torch

from lightning_leaf import LeafError
from lightning_leaf.model import chunks
from lightning_leaf.model.chunks import checked_chunk_size, chosen_chunk_size, gradients_at_once

GPU = torch.device("cuda")


@dataclass
class Opened:
    """What is known of an open classifier."""

    device: torch.device | None
    bytes_per_input: int | None


@pytest.fixture
def memory(monkeypatch):
    """Set the free memory of the accelerator."""
    return lambda size: monkeypatch.setattr(chunks, "available_bytes", lambda device: size)


def test_a_cpu_takes_32_inputs(memory):
    memory(None)
    for opened in (Opened(torch.device("cpu"), None), Opened(None, None)):
        assert chosen_chunk_size(None, opened, rows=10, size=784) == 32


def test_an_accelerator_takes_what_fits_into_a_quarter_of_its_memory(memory):
    opened = Opened(GPU, 10_000_000)
    memory(80 * 10**9)
    assert chosen_chunk_size(None, opened, rows=10, size=784) == 199
    memory(8 * 10**9)
    assert chosen_chunk_size(None, opened, rows=10, size=784) == 19
    memory(10**6)
    assert chosen_chunk_size(None, opened, rows=10, size=784) == 1
    memory(10**15)
    assert chosen_chunk_size(None, opened, rows=10, size=784) == 1024
    assert chosen_chunk_size(None, opened, rows=10, size=150_528) == 178  # gradients of 1 GiB


def test_an_accelerator_that_does_not_tell_its_memory_takes_32_inputs(memory):
    memory(None)
    assert chosen_chunk_size(None, Opened(GPU, None), rows=10, size=784) == 32
    assert gradients_at_once(Opened(GPU, None), 32, 9) == 9


def test_the_size_of_the_user_is_kept(memory):
    memory(10**6)
    assert chosen_chunk_size(500, Opened(GPU, 10**7), rows=10, size=784) == 500


def test_fewer_gradients_are_computed_at_once_if_memory_is_short(memory):
    opened = Opened(GPU, 10_000_000)
    memory(80 * 10**9)
    assert gradients_at_once(opened, 32, 9) == 9
    assert gradients_at_once(opened, 32, 999) == 62
    memory(10**6)
    assert gradients_at_once(opened, 32, 9) == 1


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_a_size_that_is_no_positive_number_raises_an_error(size):
    with pytest.raises(LeafError, match="chunk_size expects"):
        checked_chunk_size(size)
