"""Read examples of a data set without a change of the objects that the training uses."""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from lightning_leaf.data import workers
from lightning_leaf.data.copies import independent_copy
from lightning_leaf.data.requests import Answer, Request
from lightning_leaf.data.sources import Source
from lightning_leaf.data.time_limit import time_limit
from lightning_leaf.data.workers import (
    Manner,
    WorkerError,
    WorkError,
    one_line,
    run_in_worker,
    seed_global_streams,
)
from lightning_leaf.errors import LeafError, message_of, type_name
from lightning_leaf.model.exits import exits_as_errors

ADVICE = (
    "Pass the inputs themselves, for example probe=(inputs, labels), "
    "pairs=(sources, destinations) or starts=inputs."
)

_PLAIN_SAMPLERS = (type(None), SequentialSampler, RandomSampler)
"""Samplers that need not be iterated."""

_failures: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Why a process cannot read a loader's examples. Finding out can take long, so it is done once."""


@dataclass(frozen=True)
class Reader:
    """Reads examples in a process of its own, else from a copy of the data set.

    Attributes:
        source: The data set, and how batches are made of its examples.
        manner: How the process is started; None if only a copy can be read.
        shared: Objects that a copy refers to as the original does, such as the trainer.
        loader: The loader, if there is one.
    """

    source: Source
    manner: Manner | None
    shared: tuple[Any, ...] = ()
    loader: Any = None

    def read(self, request: Request) -> Answer:
        """Return what was asked for.

        A forked process costs some ten milliseconds. A spawned one (``multiprocessing_context=``
        of the loader; the default on macOS and Windows) imports PyTorch first, which takes
        seconds, and is used only if the loader has such workers itself.

        Raises:
            LeafError: If the data set raises an error, or if neither a process nor a copy can
                read it.
        """
        if _is_constant(self.source):
            return _read(self.source, request)
        failed = "the platform cannot fork processes, and the data loader has no workers"
        problem: WorkError | None = None
        if (earlier := self._earlier_failure()) is not None:
            raise _unreadable(earlier)
        if self.manner is not None:
            try:
                return Answer.of(run_in_worker(request, self.source, self.manner, request.seed))
            except WorkerError as error:
                failed = f"a separate process failed: {message_of(error)}"
                if error.started:
                    with suppress(TypeError):  # loaders without hash or weak references
                        _failures[self.loader] = failed
                    raise _unreadable(failed) from None
            except WorkError as error:
                if not error.may_be_of_the_process:
                    raise _of_the_data_set(error) from None
                problem = error
        try:
            with exits_as_errors(), time_limit(workers.LONGEST, "a copy of the data set"):
                source = independent_copy(self.source, self.shared)
        except Exception as error:
            if problem is not None:
                raise _of_the_data_set(problem) from None
            raise _unreadable(
                f"{failed}, and the data set cannot be copied ({one_line(error)})"
            ) from error
        return _read(source, request, problem)

    def _earlier_failure(self) -> str | None:
        try:
            return _failures.get(self.loader)
        except TypeError:
            return None


def reader_of(loader: Any, shared: tuple[Any, ...] = ()) -> Reader:
    """Return what reads the examples of a data loader, without iterating it.

    Args:
        loader: A data loader, or any iterable of batches.
        shared: See :class:`Reader`.
    """
    dataset = getattr(loader, "dataset", None)
    batch_sampler = getattr(loader, "batch_sampler", None)
    # The batches of a subclass can be others than those of its data set.
    is_torch = isinstance(loader, DataLoader) and type(loader).__iter__ is DataLoader.__iter__
    if is_torch and isinstance(dataset, IterableDataset):
        batched = batch_sampler is not None
        source = Source("stream" if batched else "batches", dataset, loader.collate_fn)
    elif (
        batch_sampler is not None
        and has_positions(dataset)
        and (is_torch or not isinstance(loader, DataLoader))
    ):
        sampler = getattr(loader, "sampler", None)
        collate = getattr(loader, "collate_fn", default_collate)
        source = Source("examples", dataset, collate, sampler, batch_sampler)
    elif is_torch:
        source = Source("batches", dataset, loader.collate_fn, loader.sampler)
    else:
        source = Source("loader", loader)
    return Reader(source, _manner_of(loader, dataset), shared, loader)


def reader_of_dataset(dataset: Any, shared: tuple[Any, ...] = ()) -> Reader:
    """Return what reads the examples of a data set without a loader.

    Raises:
        LeafError: If the data set has no positions.
    """
    if not (has_positions(dataset) and hasattr(type(dataset), "__len__")):
        raise LeafError(
            "Expected a data set with a length of at least one that can be indexed; got "
            f"{type(dataset).__name__}. Pass a tensor of inputs instead."
        )
    source = Source("examples", dataset, default_collate)
    return Reader(source, _manner_of(None, dataset), shared)


def has_positions(dataset: Any) -> bool:
    """Return whether a data set can be indexed. Its own code is not run."""
    return hasattr(type(dataset), "__getitem__") and not isinstance(dataset, IterableDataset)


def _read(source: Source, request: Request, earlier: WorkError | None = None) -> Answer:
    """Read examples in this process.

    Raises:
        LeafError: If the data set raises an error. It reports the earlier one, if there is one.
    """
    seed_global_streams(request.seed)
    try:
        parts = []
        what = f"each example of {type_name(source.dataset)}"
        limit = time_limit(workers.TIMEOUT, what, in_total=workers.LONGEST)
        with exits_as_errors(), limit as go_on:
            for part in request(source):
                parts.append(part)
                go_on()
        return Answer.of(parts)
    except LeafError:
        raise
    except Exception as error:
        raise _of_the_data_set(earlier or WorkError.of(error)) from error


def _is_constant(source: Source) -> bool:
    """Return whether reading cannot change anything: tensors, read by classes of PyTorch alone.

    These may be on an accelerator, which a forked process cannot use.
    """
    return (
        source.kind == "examples"
        and source.collate is default_collate
        and type(source.sampler) in _PLAIN_SAMPLERS
        and type(source.batch_sampler) in (type(None), BatchSampler)
        and type(getattr(source.batch_sampler, "sampler", None)) in _PLAIN_SAMPLERS
        and _holds_tensors_only(source.dataset)
    )


def _holds_tensors_only(dataset: Any) -> bool:
    attributes = getattr(dataset, "__dict__", {})
    if type(dataset) is TensorDataset:
        return attributes.keys() == {"tensors"} and all(
            type(tensor) is Tensor for tensor in dataset.tensors
        )
    if type(dataset) is Subset:
        plain = type(dataset.indices) in (list, tuple, range, Tensor)
        return (
            plain
            and attributes.keys() == {"dataset", "indices"}
            and _holds_tensors_only(dataset.dataset)
        )
    if type(dataset) is ConcatDataset:
        return attributes.keys() == {"datasets", "cumulative_sizes"} and all(
            map(_holds_tensors_only, dataset.datasets)
        )
    return False


def _manner_of(loader: Any, dataset: Any) -> Manner | None:
    """Return how the workers of a loader are started."""
    methods = multiprocessing.get_all_start_methods()  # the default one first
    worker_init_fn = getattr(loader, "worker_init_fn", None)
    if getattr(loader, "num_workers", 0):
        context = getattr(loader, "multiprocessing_context", None)
        if context is not None:
            method = context.get_start_method()
        else:
            method = multiprocessing.get_start_method(allow_none=True) or methods[0]
        return Manner(method, dataset, worker_init_fn)
    # On other platforms a fork can crash, and spawned processes run scripts without a guard again.
    if sys.platform == "linux" and "fork" in methods:
        return Manner("fork", dataset, worker_init_fn)
    return None


def _unreadable(reason: str) -> LeafError:
    return LeafError(
        "Examples cannot be read without a change of the data set that the training uses: "
        f"{reason}. {ADVICE}"
    )


def _of_the_data_set(error: WorkError) -> LeafError:
    where = f" for {error.place}" if error.place else ""
    return LeafError(f"Reading examples{where} raised {error.description}. {ADVICE}")
