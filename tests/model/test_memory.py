"""Memory of accelerators, and chunks that fit into it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_leaf.errors import LeafError
from lightning_leaf.model import memory, trial
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.memory import FittingChunks, allocated_bytes, available_bytes


@pytest.mark.parametrize(
    ("initial", "fits", "sizes"),
    [(None, 4, [None, 16, 8, 4]), (12, 4, [12, 6, 3]), (None, 64, [None]), (1, 1, [1])],
)
def test_chunks_are_halved_until_they_fit(initial, fits, sizes):
    tried = []

    def work(size):
        tried.append(size)
        if (size or 64) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    chunks = FittingChunks(initial)
    assert chunks.run(work) == "done"
    assert tried == sizes
    assert chunks.size == sizes[-1]


def test_other_errors_and_too_little_memory_for_one_input_are_raised():
    def failing(message):
        def work(size):
            raise RuntimeError(message)

        return work

    chunks = FittingChunks(None)
    with pytest.raises(RuntimeError, match="shapes"):
        chunks.run(failing("shapes differ"))
    assert chunks.size is None
    with pytest.raises(RuntimeError, match="out of memory"):
        chunks.run(failing("out of memory"))
    assert chunks.size == 1
    with pytest.raises(LeafError, match="chunk_size"):
        FittingChunks(0)


def test_the_cache_is_emptied_before_a_retry(monkeypatch):
    emptied = []
    module = SimpleNamespace(empty_cache=lambda: emptied.append(1))
    monkeypatch.setattr(memory, "modules_in_use", lambda: [module, SimpleNamespace()])
    errors = [RuntimeError("out of memory")]

    def work(size):
        if errors:
            raise errors.pop()

    FittingChunks(8).run(work)
    assert emptied == [1]


def cuda_like():
    return SimpleNamespace(
        memory_allocated=lambda device: 30,
        memory_reserved=lambda device: 50,
        mem_get_info=lambda device: (100, 200),
    )


def mps_like():
    return SimpleNamespace(current_allocated_memory=lambda: 30, recommended_max_memory=lambda: 90)


def unable():
    def raising(device):
        raise RuntimeError("not supported")

    return SimpleNamespace(memory_allocated=raising, mem_get_info=raising)


@pytest.mark.parametrize(
    ("module", "allocated", "available"),
    [
        (cuda_like(), 30, 120),
        (mps_like(), 30, 60),
        (unable(), None, None),
        (SimpleNamespace(), None, None),
        (None, None, None),
    ],
)
def test_memory_is_asked_of_the_module_of_a_device(module, allocated, available, monkeypatch):
    monkeypatch.setattr(torch, "hpu", module, raising=False)
    device = torch.device("hpu", 0)
    assert allocated_bytes(device) == allocated
    assert available_bytes(device) == available


@pytest.mark.parametrize("device", [None, torch.device("cpu"), torch.device("meta")])
def test_memory_of_the_host_is_unknown(device):
    assert allocated_bytes(device) is None
    assert available_bytes(device) is None


def test_activations_of_one_input_are_measured(monkeypatch):
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    with measuring(model) as classifier:
        classifier.require_usable(torch.rand(3, 4))
        assert classifier.bytes_per_input is None  # on the CPU
    counter = iter([100, 5000, 5600])
    monkeypatch.setattr(trial, "allocated_bytes", lambda device: next(counter))
    with measuring(model) as classifier:
        assert classifier.bytes_per_input is None
        classifier.require_usable(torch.rand(3, 4))
        assert classifier.bytes_per_input == 300  # of two inputs, without the workspace
