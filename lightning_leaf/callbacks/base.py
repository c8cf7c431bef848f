"""What the callbacks share: one base class for both trainers, and never ending a training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from lightning.pytorch.utilities import rank_zero_warn

from lightning_leaf.callbacks import trainer_state
from lightning_leaf.errors import LeafError

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
        on_error: ``"warn"``: on an error, warn once and measure no more in this fit. ``"raise"``:
            let it end the training.

    Raises:
        LeafError: If ``on_error`` is neither, or the name does not do for the tag of a logger.
    """

    def __init__(self, name: str, on_error: OnError) -> None:
        super().__init__()
        if on_error not in get_args(OnError):
            raise LeafError(f"on_error expects 'warn' or 'raise'; got {on_error!r}.")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise LeafError(f"name expects letters, digits and any of _.-; got {name!r}.")
        self.name = name
        self.on_error = on_error
        self._switched_off = False

    @property
    def state_key(self) -> str:
        return self._generate_state_key(name=self.name)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raise errors of configuration, before the first step.

        Raises:
            LeafError: If the strategy shards the module, or two LEAF callbacks have one name.
        """
        if stage != "fit":
            return
        self._switched_off = False
        trainer_state.require_whole_module(trainer)
        others = trainer_state.callbacks_of(trainer)
        names = [other.name for other in others if isinstance(other, LeafCallback)]
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

    def active(self, trainer: Trainer) -> bool:
        """Whether to measure now."""
        return not self._switched_off and trainer_state.is_training(trainer)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep errors of a measurement away from the training."""
        try:
            yield
        except Exception as error:
            if self.on_error == "raise":
                raise
            self._switched_off = True
            rank_zero_warn(
                f"{type(self).__name__}(name={self.name!r}) has switched itself off for the rest "
                f"of this fit; the training goes on. Cause: {type(error).__name__}: {error} "
                "(on_error='raise' shows where)."
            )


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
