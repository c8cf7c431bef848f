"""Run a function in a short-lived process, so that it leaves no trace in the objects it uses."""

from __future__ import annotations

import builtins
import contextlib
import gc
import multiprocessing
import pickle
import random
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
import torch
from torch.utils.data import _utils

from lightning_leaf.data import managed_objects
from lightning_leaf.data.isolation import Inherited, open_files, separate
from lightning_leaf.errors import LeafError, message_of, type_name

TIMEOUT = 30.0
"""Seconds without a result after which a process is given up: it may wait for a lock forever."""
LONGEST = 600.0
"""Seconds after which a process is given up that still gives results."""
KILLED_WITHIN = 5.0
"""Seconds to wait for the end of a process that is killed."""

Work = Callable[[Any], Iterator[Any]]
"""A generator function of the object that must not change. Yielding None reports progress only."""


class WorkerError(Exception):
    """The process could not be started, ended early, or gave no result in time.

    Attributes:
        started: Whether it was started: what ended it would happen in this process too.
    """

    def __init__(self, message: str, started: bool = True) -> None:
        super().__init__(message)
        self.started = started


class WorkError(Exception):
    """The work raised an error.

    Attributes:
        description: Type and message of the error, on one line.
        place: Where the error was raised, see :class:`At`; empty if unknown.
        may_be_of_the_process: Whether the error may come from running in another process.
    """

    def __init__(self, description: str, place: str, may_be_of_the_process: bool) -> None:
        super().__init__(description, place, may_be_of_the_process)
        self.description = description
        self.place = place
        self.may_be_of_the_process = may_be_of_the_process

    @classmethod
    def of(cls, error: BaseException) -> WorkError:
        """Describe an error, which itself may not be picklable."""
        place = ""
        if type(error) is At and error.__cause__ is not None:
            place, error = message_of(error), error.__cause__
        # Libraries have their own errors, for example of a database that was opened before a fork.
        suspicious = not _is_built_in(error) or issubclass(
            type(error), (RuntimeError, OSError, EOFError)
        )
        return cls(one_line(error), place, suspicious)


def _is_built_in(error: BaseException) -> bool:
    return any(type(error) is kind for kind in vars(builtins).values())


class At(Exception):
    """Wraps an error, its cause, with the words that say where it was raised."""


@dataclass(frozen=True)
class Manner:
    """How a process is started: as the workers of a data loader are.

    Attributes:
        method: Start method: ``"fork"``, ``"spawn"`` or ``"forkserver"``.
        dataset: The data set that ``get_worker_info()`` returns in the process.
        worker_init_fn: Function called in the process first.
    """

    method: str
    dataset: Any = None
    worker_init_fn: Callable[[int], Any] | None = None


def run_in_worker(work: Work, carrier: Any, manner: Manner, seed: int) -> list[Any]:
    """Return what the work yields for the carrier, run in a process of its own.

    A forked process is separated from this one: see
    :func:`~lightning_leaf.data.isolation.separate`. It is killed at the end, without running
    handlers of signals or of the interpreter's exit.

    Args:
        work: The work. A process that is not forked receives it pickled.
        carrier: Its argument.
        manner: How to start the process.
        seed: Seed of the global random number generators.

    Raises:
        WorkerError: If the process cannot be started, ends, yields nothing for ``TIMEOUT``, or is
            not ready after ``LONGEST``.
        WorkError: If the work raises an error, or yields what cannot be pickled.
        LeafError: If the work raises one.
    """
    context: Any = multiprocessing.get_context(manner.method)
    try:
        inherited = open_files() if manner.method == "fork" else None
    except OSError as error:
        raise WorkerError(
            f"open files are unknown on this platform ({one_line(error)})", started=False
        ) from error
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve, args=(sending, work, carrier, manner, seed, inherited), daemon=True
    )
    try:
        with warnings.catch_warnings():
            # Python ≥ 3.12 warns of threads, which the training may have.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            process.start()
    except Exception as error:
        receiving.close()
        raise WorkerError(f"it could not be started ({one_line(error)})", started=False) from error
    finally:
        sending.close()
    try:
        return list(_received(receiving, process))
    finally:
        # The handler of SIGTERM may be the trainer's, so that is not sent.
        process.kill()
        process.join(KILLED_WITHIN)
        if process.exitcode is not None:  # else it waits for a device, as on a broken network
            process.close()
        receiving.close()


def _received(receiving: Connection, process: Any) -> Iterator[Any]:
    end = time.monotonic() + LONGEST
    while True:
        remaining = end - time.monotonic()
        if remaining <= 0:
            raise WorkerError(f"it was not ready after {LONGEST:g} seconds")
        if not wait([receiving, process.sentinel], min(TIMEOUT, remaining)):
            if remaining <= TIMEOUT:
                continue
            raise WorkerError(f"it gave no result for {TIMEOUT:g} seconds")
        try:
            message = receiving.recv_bytes() if receiving.poll() else None
        except (EOFError, OSError):
            message = None
        if message is None:
            raise WorkerError("it ended without a result")
        try:
            kind, value = pickle.loads(message)
        except Exception as error:
            raise WorkerError(f"its result could not be read ({one_line(error)})") from error
        if kind == "end":
            return
        if kind == "error":
            raise value
        if kind == "refused":
            refusal, text = value
            raise refusal(text)
        if value is not None:
            yield value


def _serve(
    sending: Connection,
    work: Work,
    carrier: Any,
    manner: Manner,
    seed: int,
    inherited: Inherited | None,
) -> None:
    """Run the work in the process and send what it yields."""

    def send(kind: str, value: Any = None) -> None:
        # Plain pickles hold the values of tensors, which then need no shared memory.
        try:
            message = pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            cause = WorkError(f"its batches cannot be pickled ({one_line(error)})", "", True)
            message = pickle.dumps(("error", cause))
        sending.send_bytes(message)

    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if inherited is not None:
            gc.disable()  # the finalizers of the training's objects must not run here
            separate(inherited)
        managed_objects.use_own_copies()
        torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
        seed_global_streams(seed)
        _utils.worker._worker_info = _utils.worker.WorkerInfo(
            id=0, num_workers=1, seed=seed, dataset=manner.dataset
        )
        if manner.worker_init_fn is not None:
            manner.worker_init_fn(0)
        for value in work(carrier):
            send("value", value)
        send("end")
    except LeafError as error:
        ours = type(error).__module__.startswith("lightning_leaf.")
        send("refused", (type(error) if ours else LeafError, message_of(error)))
    except BaseException as error:
        with contextlib.suppress(OSError):  # the parent has given up
            send("error", WorkError.of(error))


def seed_global_streams(seed: int) -> None:
    """Seed the global random number generators, so that random transforms repeat in each fit."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    # torch.manual_seed would also seed accelerators, whose states are restored only if in use.
    torch.default_generator.manual_seed(seed)


def one_line(error: BaseException) -> str:
    """Return the type of an error and the last line of its message."""
    lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
    return f"{type_name(error)}: {lines[-1]}" if lines else type_name(error)
