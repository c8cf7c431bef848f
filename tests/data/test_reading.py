"""Reading examples leaves the data set, and what it has opened, as they were."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    get_worker_info,
)

from lightning_leaf import LeafError
from lightning_leaf.data import copies, isolation, reading, requests, workers
from lightning_leaf.data.reading import reader_of_dataset
from lightning_leaf.data.requests import Request
from tests.support.data_sets import (
    COUNT,
    Counting,
    InFile,
    InZip,
    Locked,
    Managed,
    NotInForks,
    Numbers,
    Remote,
    Stream,
    ask,
    loader,
    pairs_read,
)


class Wrapper(Dataset[Any]):
    """A wrapper that passes on attributes."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.cache: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, position: int) -> Any:
        self.cache[position] = self.inner[position]
        return self.cache[position]


def wrapped_often(data: Any) -> Any:
    return Wrapper(ConcatDataset([Subset(Wrapper(data), range(COUNT))]))


def right(read: list[tuple[Any, int, int]]) -> bool:
    return bool(read) and all(
        position == number and number % 3 == label for position, number, label in read
    )


@pytest.mark.parametrize("kind", [InFile, InZip])
@pytest.mark.parametrize("wrap", [lambda data: data, wrapped_often], ids=["alone", "wrapped"])
@pytest.mark.parametrize("options", [{}, {"num_workers": 2}], ids=["no workers", "workers"])
def test_files_that_are_opened_at_first_use_stay_closed(
    tmp_path: Any, kind: Any, wrap: Callable[[Any], Any], options: Any
) -> None:
    data = kind(tmp_path)
    wrapped = wrap(data)
    assert right(pairs_read(loader(wrapped, **options)))
    assert right(pairs_read(loader(wrapped, **options), [5, 3]))
    assert (data.file, data.reads) == (None, 0)
    assert getattr(wrapped, "cache", {}) == {}
    # Negative control: indexing opens the file, whose position all forked workers would share.
    wrapped[3]
    assert data.file is not None
    assert data.reads == 1


def position_in(file: Any) -> int:
    """Return the position that the operating system has, which a forked process shares."""
    return os.lseek(file.fileno(), 0, os.SEEK_CUR)


def test_open_files_keep_their_positions(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = InFile(tmp_path, opened=True)
    data[1]
    before = position_in(data.file)
    assert right(pairs_read(loader(data)))
    assert position_in(data.file) == before
    assert right([(2, int(data[2][0].max()), data[2][1])])
    # Negative control: without the separation the worker moves the file of this process.
    monkeypatch.setattr(workers, "separate", lambda _: None)
    before = position_in(data.file)
    pairs_read(loader(data), [9])
    assert position_in(data.file) != before


def test_shared_memory_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Counting()
    assert right(pairs_read(loader(data)))
    assert (data.reads.value, data.cache.sum()) == (0, 0)
    # Negative control: a worker writes to shared memory unless it has its own.
    monkeypatch.setattr(isolation, "_copy_shared_memory", lambda _: None)
    pairs_read(loader(data))
    assert data.reads.value > 0
    assert data.cache.sum() > 0


def test_objects_of_a_manager_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with multiprocessing.Manager() as manager:
        data = Managed(manager.dict({3: (torch.full((1, 64, 64), 3.0), 0)}))
        assert right(pairs_read(loader(data)))
        assert right(pairs_read(loader(data), [3, 5]))
        assert set(data.cache.keys()) == {3}
        with pytest.raises(TypeError, match="because a server holds it"):
            copies.independent_copy(data)
        # Negative control: a process of its own writes to the same server.
        monkeypatch.setattr(workers.managed_objects, "use_own_copies", lambda: None)
        pairs_read(loader(data), [5])
        assert set(data.cache.keys()) == {3, 5}


def test_connections_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Remote()
    data.server.setblocking(False)
    with pytest.raises(LeafError, match=r"example \d+ of the data set raised OSError.*probe=\("):
        pairs_read(loader(data))
    with pytest.raises(BlockingIOError):
        data.server.recv(100)
    # Negative control: without the separation the server gets a request, and may answer it.
    monkeypatch.setattr(workers, "separate", lambda _: None)
    pairs_read(loader(data))
    assert data.server.recv(14) == b"example please"
    data.connection.close()
    data.server.close()


def test_workers_are_those_of_the_loader() -> None:
    class Prepared(Numbers):
        start = -1

        def __getitem__(self, position: int) -> Any:
            assert get_worker_info() is not None
            return super().__getitem__(position + self.start)

    def prepare(number: int) -> None:
        info = get_worker_info()
        assert info is not None
        assert (info.id, number, info.num_workers) == (0, 0, 1)
        info.dataset.start = 0

    data = Prepared()
    assert right(pairs_read(loader(data, num_workers=2, worker_init_fn=prepare)))
    assert data.start == -1


def test_processes_that_cannot_read_are_replaced_by_a_copy() -> None:
    data = NotInForks()
    assert right(pairs_read(loader(data)))
    assert data.reads == 0


def test_without_forks_a_copy_is_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.sys, "platform", "darwin")
    data = InZip(tmp_path)
    assert right(pairs_read(loader(data)))
    assert (data.file, data.reads) == (None, 0)
    # Negative control: two copies would share the position in a file that is open.
    data.open()
    with pytest.raises(LeafError, match=r"cannot fork.*cannot be copied.*BufferedReader.*probe="):
        pairs_read(loader(data))


def test_tensors_are_read_without_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a process was started")

    monkeypatch.setattr(reading, "run_in_worker", refuse)
    images = torch.arange(float(COUNT))[:, None, None, None].expand(-1, 1, 4, 4)
    data = TensorDataset(images, torch.arange(COUNT) % 3)
    parts = ConcatDataset([Subset(data, range(12)), Subset(data, range(12, COUNT))])
    for dataset in (data, parts):
        assert right(pairs_read(loader(dataset)))
        assert right(pairs_read(loader(dataset, num_workers=2, shuffle=True), [5, 3]))

    class Other(TensorDataset):
        pass

    # Negative control: the code of a subclass, a collate function or a sampler may do anything.
    with pytest.raises(AssertionError):
        pairs_read(loader(Other(*data.tensors)))
    with pytest.raises(AssertionError):
        pairs_read(loader(Subset(Other(*data.tensors), [0, 1, 2])))
    with pytest.raises(AssertionError):
        pairs_read(loader(data, collate_fn=lambda items: default_collate(items)))
    with pytest.raises(AssertionError):
        pairs_read(loader(data, sampler=SubsetRandomSampler(range(COUNT))))


def test_a_row_is_copied_without_the_tensor_of_which_it_is_a_view() -> None:
    row, label = requests._copied((torch.zeros(1000, 50)[3], {"label": [torch.ones(9)[2]]}))
    assert row.untyped_storage().nbytes() == 50 * 4
    assert label["label"][0].untyped_storage().nbytes() == 4


def test_large_data_are_shared_with_a_copy() -> None:
    small, large = torch.zeros(4), torch.zeros(copies.SHARED_BYTES // 4)
    fixed = np.zeros(4)
    fixed.flags.writeable = False
    copied = copies.independent_copy(TensorsIn({"a": [small, large], "b": fixed}))
    assert copied.content["a"][1] is large
    assert copied.content["b"] is fixed
    assert copied.content["a"][0] is not small


class TensorsIn:
    def __init__(self, content: Any) -> None:
        self.content = content


def test_processes_that_wait_for_a_lock_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    assert right(pairs_read(loader(Locked(lock))))  # a lock that is free does not matter
    monkeypatch.setattr(workers, "TIMEOUT", 0.5)
    locked = loader(Locked(lock))
    with lock, pytest.raises(LeafError, match=r"no result for 0.5 seconds.*probe=\("):
        pairs_read(locked)
    # The next callback does not wait again.
    monkeypatch.setattr(workers, "TIMEOUT", 1000)
    with lock, pytest.raises(LeafError, match=r"no result for 0\.5 seconds"):
        pairs_read(locked)


def test_an_example_that_ends_the_process_is_not_read_again() -> None:
    class Fatal(Numbers):
        """A data set whose example 7 ends the process, as a crash or too little memory does."""

        def __getitem__(self, position: int) -> Any:
            if position == 7:
                os._exit(9)
            return super().__getitem__(position)

    fatal = loader(Fatal())
    with pytest.raises(LeafError, match=r"ended without a result.*probe=\("):
        pairs_read(fatal, [3, 7])  # a copy would end this process
    with pytest.raises(LeafError, match="ended without a result"):
        pairs_read(fatal, [3, 6])
    assert right(pairs_read(loader(Fatal()), [3, 6]))


def test_batches_of_a_loader_with_an_own_iterator_are_those_it_makes() -> None:
    class Doubling(DataLoader[Any]):
        def __iter__(self) -> Any:
            return ([2 * x, y] for x, y in super().__iter__())

    for workers_of_loader in (0, 1):
        doubling = Doubling(Numbers(), batch_size=4, num_workers=workers_of_loader)
        doubled = pairs_read(doubling)
        assert all(number % 2 == 0 and number // 2 % 3 == label for _, number, label in doubled)
        assert doubling.num_workers == workers_of_loader
    # Negative control: the examples of the data set are not what the model gets.
    assert not all(number % 2 == 0 for _, number, _ in pairs_read(loader(Numbers())))


def test_errors_of_a_data_set_are_reported_once_with_the_position() -> None:
    class Broken(Numbers):
        copies = 0

        def __deepcopy__(self, memo: Any) -> Any:
            type(self).copies += 1
            return self

        def __getitem__(self, position: int) -> Any:
            if position == 7:
                raise KeyError("no label")
            return super().__getitem__(position)

    with pytest.raises(LeafError, match=r"example 7 of the data set raised KeyError: 'no label'"):
        pairs_read(loader(Broken()), [3, 7])
    assert Broken.copies == 0
    assert right(pairs_read(loader(Broken()), [3, 6]))
    with pytest.raises(LeafError, match=r"from 0 to 23.*got 24"):
        pairs_read(loader(Broken()), [24])


def test_spawned_workers_are_used_if_the_loader_has_them(tmp_path: Any) -> None:
    data = InFile(tmp_path)
    answer = pairs_read(loader(data, num_workers=1, multiprocessing_context="spawn"))
    assert right(answer)
    assert data.file is None
    # Negative control: an open file cannot be sent to such a worker, and not be copied either.
    data.open()
    with pytest.raises(LeafError, match=r"could not be started.*cannot be copied.*probe=\("):
        pairs_read(loader(data, num_workers=1, multiprocessing_context="spawn"))


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}])
def test_streams_are_read_without_being_begun(options: Any) -> None:
    stream = Stream()
    read = pairs_read(loader(stream, **options))
    assert sorted(number for _, number, _ in read) == sorted(set(number for _, number, _ in read))
    assert all(number % 3 == label and position is None for position, number, label in read)
    assert len(read) == 6
    assert stream.begun == 0
    # Loaders of other libraries, and data sets of batches, are iterated in the process.
    batches = [(torch.full((4, 1, 8, 8), 4.0), torch.ones(4, dtype=torch.long))] * 3
    for source in (iter(batches), loader(batches, batch_size=None)):
        assert pairs_read(source) == [(None, 4, 1)] * 8
    assert len(list(loader(batches, batch_size=None))) == 3


def test_random_numbers_repeat_and_those_of_this_process_are_left_alone() -> None:
    class Noisy(Numbers):
        def __init__(self) -> None:
            self.generator = torch.Generator().manual_seed(0)

        def __getitem__(self, position: int) -> Any:
            x, y = super().__getitem__(position)
            return x + torch.rand(()) + torch.rand((), generator=self.generator), y

    data = Noisy()
    states = torch.get_rng_state(), data.generator.get_state()
    first, again = (ask(loader(data)).batches for _ in range(2))
    assert all(torch.equal(x[0], y[0]) for x, y in zip(first, again, strict=True))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(data.generator.get_state(), states[1])
    # Negative control: reading here would advance both.
    data[0]
    assert not torch.equal(data.generator.get_state(), states[1])


def test_data_sets_without_a_loader_are_read_alike(tmp_path: Any) -> None:
    data = InZip(tmp_path)
    answer = reader_of_dataset(data).read(Request(None, 5, 0))
    assert len(answer.batches) == 5
    assert data.file is None
    with pytest.raises(LeafError, match="Expected a data set"):
        reader_of_dataset(Stream())


def test_class_names_are_read_in_the_process() -> None:
    class Named(Numbers):
        opened = False

        @property
        def classes(self) -> list[str]:
            type(self).opened = True
            return ["a", "b", "c"]

    assert ask(loader(Named())).class_names == ("a", "b", "c")
    assert not Named.opened
