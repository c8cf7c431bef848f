"""Walks use fewer threads while other processes keep the processors busy."""

import itertools

import pytest
import torch

from lightning_leaf import horizontal_path
from lightning_leaf.paths import threads as threads_module
from lightning_leaf.paths.threads import PATIENCE, Threads

CPU = torch.device("cpu")


class Machine:
    """A machine of four processors, with a clock that blocks of work advance."""

    def __init__(self) -> None:
        self.wall = self.used = 0.0
        self.count = 4
        self.busy = False
        self.history: list[int] = []

    def work(self, threads: Threads, blocks: int) -> list[int]:
        """Do blocks of work, and return the number of threads of each."""
        first = len(self.history)
        for _ in range(blocks):
            with threads.block(32):
                self.history.append(self.count)
                # Threads that wait for each other take longer, the more there are.
                seconds = 0.5 * self.count if self.busy else 1 / self.count
                self.wall += seconds
                self.used += seconds * (0.4 if self.busy else 0.95) * self.count
        return self.history[first:]


@pytest.fixture
def machine(monkeypatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(threads_module.time, "perf_counter", lambda: machine.wall)
    monkeypatch.setattr(threads_module.time, "process_time", lambda: machine.used)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(machine, "count", count))
    return machine


def test_all_threads_are_used_alone(machine):
    assert set(machine.work(Threads(CPU), 100)) == {4}


def test_fewer_threads_are_used_beside_busy_processes(machine):
    machine.busy = True
    used = machine.work(Threads(CPU), 40)
    assert used[:2] == [4, 2]
    assert used[20:].count(1) >= 18


def test_all_threads_are_used_again_after_a_while(machine):
    threads, machine.busy = Threads(CPU), True
    machine.work(threads, 40)
    machine.busy = False
    assert set(machine.work(threads, 300)[-100:]) == {4}


def test_trials_that_do_not_pay_off_become_rare(machine):
    threads = Threads(CPU)
    for _ in range(100):  # the threads wait for something else than other processes
        with threads.block(32):
            machine.history.append(machine.count)
            machine.wall += 1 / machine.count
    tried = [i for i, count in enumerate(machine.history) if count < 4]
    assert 2 <= len(tried) <= 5
    assert all(later - earlier > PATIENCE for earlier, later in itertools.pairwise(tried))


@pytest.mark.parametrize("why", ["accelerator", "deterministic"])
def test_the_number_of_threads_is_not_changed(machine, monkeypatch, why):
    if why == "deterministic":
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    machine.busy = True
    threads = Threads(torch.device("meta") if why == "accelerator" else CPU)
    assert set(machine.work(threads, 40)) == {4}


def test_threads_are_restored_after_a_walk(machine, monkeypatch):
    def trying(self, seconds: float, used: float) -> None:
        self._set(1)

    monkeypatch.setattr(Threads, "_choose", trying)
    model, x = torch.nn.Linear(20, 5), torch.randn(2, 20)
    horizontal_path(model, x, x.flip(0), max_steps=4, progress=False)
    assert machine.count == 4
    monkeypatch.setattr(Threads, "_choose", lambda *_: (_ for _ in ()).throw(ArithmeticError))
    with pytest.raises(ArithmeticError):
        horizontal_path(model, x, x.flip(0), max_steps=4, progress=False)
    assert machine.count == 4
