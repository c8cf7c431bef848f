"""The base class of the LEAF callbacks: after an error in a measurement, training continues."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from typing_extensions import override

from lightning_leaf._arguments import one_of, whole_number
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
        # The trainer and the CLI of each package check for the Callback class of that package.
        class Callback(Callback, _StandaloneCallback):
            """A callback for ``lightning.pytorch`` and for ``pytorch_lightning``."""


OnError = Literal["warn", "raise"]


class LeafCallback(Callback):
    """The base class of the LEAF callbacks. A callback switches itself off after an error.

    Args:
        name: Prefix of everything that the callback logs; unique among the LEAF callbacks of a
            trainer.
        chunk_size: Inputs per forward pass, halved each time memory runs out. None means the
            default, 32.
        on_error: ``"warn"``: after an error, warn once and stop measuring for the rest of the fit.
            ``"raise"``: raise the error, which ends the training.

    Raises:
        LeafError: If an argument is out of its range.
    """

    def __init__(self, name: str, chunk_size: int | None, on_error: OnError) -> None:
        super().__init__()
        one_of(on_error, get_args(OnError), "on_error")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise LeafError(
                f"name expects letters, digits and the characters '_', '.' and '-'; got {name!r}."
            )
        self.name = name
        self.chunk_size = None if chunk_size is None else whole_number(chunk_size, "chunk_size")
        self.on_error = on_error
        self._switched_off = False
        self._processes: Processes | None = None  # only during a fit

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(name=self.name)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self._switched_off = False
        require_evaluation_between_steps(trainer)
        others = _leaf_callbacks_of(trainer)
        names = [other.name for other in others]
        if names.count(self.name) > 1:
            raise LeafError(
                "name expects a different name for each LEAF callback of a trainer; got "
                f"{self.name!r} more than once. Pass another name to one of them, such as "
                f"name='{self.name}_2'."
            )
        if averaging := trainer_state.averaging_callbacks_after(trainer, self):
            rank_zero_warn(
                f"{type(self).__name__} is listed before {averaging[0]} in the callbacks of the "
                "trainer. At the end of the fit it therefore measures the weights before "
                f"{averaging[0]} replaces them by their average. To measure the averaged weights, "
                f"list it after {averaging[0]}."
            )

        self._chunks = FittingChunks(self.chunk_size or CHUNK_SIZE)
        connected = (other._processes for other in others if other._processes is not None)
        self._processes = next(connected, None) or Processes(trainer)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._disconnect()

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._disconnect()  # the trainer does not call teardown after an error

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
        """Return whether the callback may measure now."""
        if self._switched_off or not trainer_state.is_training(trainer):
            return False
        if self._processes is None:
            self._fail(
                LeafError(
                    "The trainer expects its LEAF callbacks before a fit; this one was added "
                    "during the fit. Pass it to Trainer(callbacks=[...])."
                )
            )
        return not self._switched_off

    @contextmanager
    def guarded(self, trainer: Trainer) -> Iterator[None]:
        """Catch the errors of a measurement and switch the callback off, on all ranks alike."""
        ending = self.processes.shared_flag(lambda: trainer_state.is_ending(trainer))
        try:
            with interrupted_when(ending):
                yield
        except Interrupted:
            self._switched_off = True
            rank_zero_info(
                f"{type(self).__name__}(name={self.name!r}) stopped measuring because the process "
                "received SIGTERM."
            )
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Raise an error, or warn of it and switch the callback off, as ``on_error`` says."""
        if self.on_error == "raise":
            raise error
        self._switched_off = True
        rank_zero_warn(
            f"{type(self).__name__}(name={self.name!r}) has switched itself off for the rest "
            "of this fit; training continues. Cause: "
            f"{type(error).__name__}: {error} (Pass on_error='raise' to get the traceback.)"
        )


def _leaf_callbacks_of(trainer: Trainer) -> list[LeafCallback]:
    callbacks = trainer_state.callbacks_of(trainer)
    return [callback for callback in callbacks if isinstance(callback, LeafCallback)]
