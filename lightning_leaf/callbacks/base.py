"""What the callbacks share: one base class for both trainers, and never ending a training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_leaf.errors import Interrupted, LeafError
from lightning_leaf.model.chunks import CHUNK_SIZE
from lightning_leaf.model.interruption import interrupted_when
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.processes import Processes
from lightning_leaf.trainer.strategies import require_evaluation_between_steps

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:
    from lightning.pytorch import Callback

    try:
        from pytorch_lightning import Callback as _StandaloneCallback
    except ImportError:
        pass
    else:
        # The trainers and the CLI of either package ask for instances of their own class.
        class Callback(Callback, _StandaloneCallback):
            """A callback for ``lightning.pytorch`` and ``pytorch_lightning`` alike."""


OnError = Literal["warn", "raise"]


class LeafCallback(Callback):
    """A callback that can switch itself off.

    Args:
        name: Told from the names of the other LEAF callbacks of a trainer.
        chunk_size: Inputs per forward pass, halved where memory runs out; None for the default.
        on_error: ``"warn"``: on an error, warn once and measure no more in this fit. ``"raise"``:
            let it end the training.

    Raises:
        LeafError: If ``on_error`` is neither, or the name does not do for the tag of a logger.
    """

    def __init__(self, name: str, chunk_size: int | None, on_error: OnError) -> None:
        super().__init__()
        if on_error not in get_args(OnError):
            raise LeafError(f"on_error expects 'warn' or 'raise'; got {on_error!r}.")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise LeafError(f"name expects letters, digits and any of _.-; got {name!r}.")
        self.name = name
        self.chunk_size = None if chunk_size is None else checked_count(chunk_size, "chunk_size")
        self.on_error = on_error
        self._switched_off = False
        self._processes: Processes | None = None  # while a fit lasts

    @property
    def state_key(self) -> str:
        return self._generate_state_key(name=self.name)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raise errors of configuration, before the first step.

        Raises:
            LeafError: If the strategy is not supported, or two LEAF callbacks have one name.
        """
        if stage != "fit":
            return
        self._switched_off = False
        require_evaluation_between_steps(trainer)
        others = _leaf_callbacks_of(trainer)
        names = [other.name for other in others]
        if names.count(self.name) > 1:
            raise LeafError(
                f"Each LEAF callback of a trainer is expected to have a name of its own; got "
                f"{self.name!r} more than once. Give one of them another, name=…"
            )
        if averaging := trainer_state.averaging_callbacks_after(trainer, self):
            rank_zero_warn(
                f"{type(self).__name__} comes before {averaging[0]}: at the end of fit it will see "
                "the weights before they are replaced by their average. Put it after, to see the "
                "average."
            )

        self._chunks = FittingChunks(self.chunk_size or CHUNK_SIZE)
        connected = (other._processes for other in others if other._processes is not None)
        self._processes = next(connected, None) or Processes(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._disconnect()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._disconnect()  # there is no teardown after an error

    def _disconnect(self) -> None:
        if self._processes is not None:
            self._processes.close()
        self._processes = None

    @property
    def processes(self) -> Processes:
        """The processes of this fit."""
        assert self._processes is not None
        return self._processes

    def active(self, trainer: Trainer) -> bool:
        """Whether to measure now."""
        return not self._switched_off and trainer_state.is_training(trainer)

    @contextmanager
    def guarded(self, trainer: Trainer) -> Iterator[None]:
        """Keep errors of a measurement away from the training, on all ranks alike."""
        try:
            with interrupted_when(self.processes.wants(lambda: trainer_state.is_ending(trainer))):
                yield
        except Interrupted as interrupted:
            self._switched_off = True
            rank_zero_info(
                f"{type(self).__name__}(name={self.name!r}) has given up a measurement, because "
                f"the training was told to end. {interrupted}"
            )
        except Exception as error:
            if self.on_error == "raise":
                raise
            self._switched_off = True
            rank_zero_warn(
                f"{type(self).__name__}(name={self.name!r}) has switched itself off for the rest "
                f"of this fit; the training goes on. Cause: {type(error).__name__}: {error} "
                "(on_error='raise' shows where)."
            )


def _leaf_callbacks_of(trainer: Trainer) -> list[LeafCallback]:
    callbacks = trainer_state.callbacks_of(trainer)
    return [callback for callback in callbacks if isinstance(callback, LeafCallback)]


def checked_count(count: Any, name: str, least: int = 1) -> int:
    """A whole number of at least ``least``.

    Raises:
        LeafError: If it is not.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise LeafError(f"{name} expects a whole number of at least {least}; got {count!r}.")
    return count


def checked_length(length: float | None, name: str) -> float | None:
    """A positive number, or None for the default.

    Raises:
        LeafError: If it is neither.
    """
    if length is not None and not (isinstance(length, (int, float)) and length > 0):
        raise LeafError(f"{name} expects a positive number; got {length!r}.")
    return length
