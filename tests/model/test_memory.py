"""Memory of accelerators, and chunks that fit into it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_leaf.errors import LeafError
from lightning_leaf.model import memory, trial
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.memory import (
    FittingChunks,
    allocated_bytes,
    available_bytes,
    is_out_of_memory,
)


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


# As reported by users of PyTorch.
MESSAGES = {
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB": True,
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported": True,
    "CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY": True,
    "HIP out of memory. Tried to allocate 2.00 MiB. GPU 7 has a total capacity of 287.98 GiB": True,
    "XPU out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity": True,
    "MPS backend out of memory (MPS allocated: 17.95 GB, other allocations: 64.00 KB)": True,
    "Invalid buffer size: 23.45 GB": True,
    "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)": True,
    "UR backend failed. UR backend returns:40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)": True,
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)": True,
    "[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory": True,
    "std::bad_alloc": True,
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": True,
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`": True,
    "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`": True,
    "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnSsyevd(handle)`": True,
    "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`": True,
    "cusolver error: 7, when calling `cusolverDnCreate(handle)`": True,
    "CUDA error: CUSPARSE_STATUS_NOT_INITIALIZED when calling `cusparseCreate(handle)`": True,
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED": True,
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED": True,
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED": True,
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": True,
    "cuFFT error: CUFFT_ALLOC_FAILED": True,
    "Unable to find a valid cuDNN algorithm to run convolution": True,
    "FIND was unable to find an engine to execute this computation": True,
    "GET was unable to find an engine to execute this computation": True,
    "miopenStatusAllocFailed": True,
    "MIOpen Error: handlehip.cpp:70: Memory not available to allocate buffer: 655360000": True,
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": False,
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR": False,
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED": False,
    "cudnn RNN backward can only be called in training mode": False,
    "CUDA error: an illegal memory access was encountered": False,
    "CUDA error: device-side assert triggered": False,
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`": False,
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm( handle)`": False,
    "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnSsyevd`": False,
    "linalg.eigh: (Batch element 0): The algorithm failed to converge": False,
    "mat1 and mat2 shapes cannot be multiplied (2x12 and 13x3)": False,
    "Cannot access data pointer of Storage that is invalid.": False,
    "Expected all tensors to be on the same device, but found at least two devices": False,
    "unsupported operation: some elements refer to a single memory location": False,
}


@pytest.mark.parametrize(("message", "expected"), MESSAGES.items(), ids=range(len(MESSAGES)))
def test_errors_about_too_little_memory_are_known_by_their_message(message, expected):
    assert is_out_of_memory(RuntimeError(message)) is expected


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("")])
def test_errors_about_too_little_memory_are_known_by_their_type(error):
    assert is_out_of_memory(error)
